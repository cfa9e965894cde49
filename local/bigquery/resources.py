"""Datasets, tables and views as BigQuery's API returns them."""

import time
import uuid

from local.bigquery.catalog import Catalog, Resource
from local.bigquery.errors import BigQueryError, invalid, refused
from local.bigquery.fields import Field, duckdb_type, quoted, to_schema

PARTITION_TYPES = ("DAY", "HOUR", "MONTH", "YEAR")
KEPT = (
    "friendlyName", "description", "labels", "timePartitioning", "clustering", "requirePartitionFilter",
    "expirationTime", "defaultTableExpirationMs", "defaultPartitionExpirationMs", "access",
)  # fmt: skip


def now_ms() -> int:
    """The time of this machine, ms since epoch."""
    return int(time.time() * 1000)


def table_key(reference: Resource) -> str:
    """project.dataset.table of a tableReference. Refuses partition decorators."""
    if "$" in reference["tableId"]:
        raise refused("partition decorators (table$partition)")
    return f"{reference['projectId']}.{reference['datasetId']}.{reference['tableId']}"


def make_dataset(given: Resource, project: str) -> Resource:
    """A new dataset's resource; the location is US unless given."""
    name = given["datasetReference"]["datasetId"]
    body: Resource = {
        "kind": "bigquery#dataset",
        "id": f"{project}:{name}",
        "datasetReference": {"projectId": project, "datasetId": name},
        "location": given.get("location") or "US",
        "creationTime": str(now_ms()),
    }
    return patch(body, given)


def delete_dataset(catalog: Catalog, key: str, *, contents: bool) -> None:
    """Forget the dataset, with its tables where `contents`. Raises BigQueryError 'resourceInUse'."""
    dataset = catalog.get("dataset", key)
    tables = catalog.under("table", key)
    if tables and not contents:
        raise BigQueryError("resourceInUse", f"Dataset {dataset['id']} is still in use")
    for table in tables:
        catalog.delete("table", table_key(table["tableReference"]))
    catalog.delete("dataset", key)


def make_table(catalog: Catalog, given: Resource) -> Resource:
    """A new table's or view's resource, and for a table the place of its rows; not yet in the catalog."""
    reference = given["tableReference"]
    key = table_key(reference)
    dataset = catalog.get("dataset", key.rpartition(".")[0])
    for feature in ("externalDataConfiguration", "materializedView", "rangePartitioning", "cloneDefinition"):
        if given.get(feature):
            raise refused(f"tables with {feature}")
    body: Resource = {
        "kind": "bigquery#table",
        "id": key.replace(".", ":", 1),
        "tableReference": {name: reference[name] for name in ("projectId", "datasetId", "tableId")},
        "location": dataset["location"],
        "creationTime": str(now_ms()),
        "schema": {"fields": to_schema((given.get("schema") or {}).get("fields", []))},
        "type": "VIEW" if given.get("view") else "TABLE",
    }
    if given.get("view"):
        return patch({**body, "view": {"query": given["view"]["query"], "useLegacySql": False}}, given)
    check_layout(given, body["schema"]["fields"])
    body["_rows"] = catalog.new_rows(body["schema"]["fields"] or [{"name": "_", "type": "STRING", "mode": "NULLABLE"}])
    return patch(body, given)


def check_layout(given: Resource, fields: list[Field]) -> None:
    """Partitioning and clustering must name columns that can carry them. Raises BigQueryError 'invalid'."""
    named = {field["name"].lower(): field for field in fields}
    partitioning = given.get("timePartitioning") or {}
    if partitioning.get("type", "DAY") not in PARTITION_TYPES:
        raise invalid(f"Invalid partitioning type {partitioning['type']}")
    column = named.get(str(partitioning.get("field", "")).lower())
    if partitioning.get("field") and (column is None or column["type"] not in ("TIMESTAMP", "DATE")):
        kind = "not in the schema" if column is None else f"of type {column['type']}"
        raise invalid(
            f"The field specified for time partitioning can only be of type TIMESTAMP or DATE; "
            f"{partitioning['field']} is {kind}"
        )
    for name in (given.get("clustering") or {}).get("fields", []):
        column = named.get(name.lower())
        if column is None or column["mode"] == "REPEATED" or column["type"] in ("RECORD", "FLOAT", "BYTES"):
            raise invalid(f"The field {name} cannot be used for clustering")


def patch(body: Resource, given: Resource) -> Resource:
    """The resource with the given properties changed; null removes one."""
    changed = {**body, "lastModifiedTime": str(now_ms())}
    for name in KEPT:
        if name in given:
            changed.pop(name, None)
            if given[name] is not None:
                changed[name] = given[name]
    changed["etag"] = uuid.uuid4().hex
    return changed


def change_schema(catalog: Catalog, table: Resource, given: list[Field]) -> Resource:
    """Add NULLABLE or REPEATED columns at the end, relax REQUIRED to NULLABLE, change descriptions; nothing else."""
    new = to_schema(given)
    old = {field["name"]: field for field in table["schema"]["fields"]}
    where = f"Provided Schema does not match Table {table['id']}."
    missing = set(old) - {field["name"] for field in new}
    if missing:
        raise invalid(f"{where} Field {sorted(missing)[0]} is missing in new schema")
    for field in new:
        _change_column(catalog, table, old.get(field["name"]), field, where)
    return {**table, "schema": {"fields": new}}


def _change_column(catalog: Catalog, table: Resource, before: Field | None, field: Field, where: str) -> None:
    name = quoted(field["name"])
    if before is None:
        if field["mode"] == "REQUIRED":
            raise invalid(f"{where} Cannot add required fields to an existing schema. (field: {field['name']})")
        default = " DEFAULT []" if field["mode"] == "REPEATED" else ""
        catalog.cursor.execute(f"ALTER TABLE {table['_rows']} ADD COLUMN {name} {duckdb_type(field)}{default}")
        return
    if duckdb_type(before) != duckdb_type(field):
        raise invalid(f"{where} Field {field['name']} has changed type or nested fields")
    if before["mode"] != field["mode"]:
        if (before["mode"], field["mode"]) != ("REQUIRED", "NULLABLE"):
            raise invalid(f"{where} Field {field['name']} has changed mode from {before['mode']} to {field['mode']}")
        catalog.cursor.execute(f"ALTER TABLE {table['_rows']} ALTER COLUMN {name} DROP NOT NULL")


def shown(catalog: Catalog, table: Resource) -> Resource:
    """The table as the API returns it, with its number of rows."""
    visible = {name: value for name, value in table.items() if not name.startswith("_")}
    return {**visible, "numRows": str(catalog.num_rows(table))} if "_rows" in table else visible


def listed(resource: Resource) -> Resource:
    """The short form that lists hold."""
    names = ("kind", "id", "datasetReference", "tableReference", "location", "type", "friendlyName", "labels",
             "timePartitioning", "clustering", "creationTime", "expirationTime", "view")  # fmt: skip
    return {name: resource[name] for name in names if name in resource}


def check_name(name: str, *, hyphen: bool) -> None:
    """Letters, digits and _, and - in a table's name, at most 1024. Raises BigQueryError 'invalid'."""
    plain = name.replace("_", "a").replace("-", "a" if hyphen else "-")
    if not plain.isalnum() or len(name) > 1024:
        raise invalid(f"Invalid resource name {name!r}")
