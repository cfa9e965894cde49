"""CREATE, DROP, ALTER and TRUNCATE of tables, views and datasets."""

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from local.bigquery import resources
from local.bigquery.catalog import Catalog, Resource
from local.bigquery.errors import invalid_query, refused
from local.bigquery.fields import Field, from_duckdb, quoted
from local.bigquery.nodes import Node

if TYPE_CHECKING:
    from local.bigquery.statements import Translator

COLUMN_TYPES = {
    "TEXT": "STRING", "BIGINT": "INTEGER", "DOUBLE": "FLOAT", "BOOLEAN": "BOOLEAN", "TIMESTAMPTZ": "TIMESTAMP",
    "DATE": "DATE", "BINARY": "BYTES",
}  # fmt: skip
DAY_MS = 86_400_000


def run(catalog: Catalog, translator: "Translator", tree: Node) -> None:
    """Do what the statement says. Raises BigQueryError for what it does not know."""
    kind = str(tree.args.get("kind") or "")
    if isinstance(tree, exp.TruncateTable):
        table = translator.table(tree.expressions[0])
        catalog.cursor.execute(f"DELETE FROM {table['_rows']}")
    elif isinstance(tree, exp.Create) and kind in ("TABLE", "VIEW"):
        _create(catalog, translator, tree, kind)
    elif isinstance(tree, exp.Create) and kind == "SCHEMA":
        _create_schema(catalog, translator, tree)
    elif isinstance(tree, exp.Drop) and kind in ("TABLE", "VIEW", "SCHEMA"):
        _drop(catalog, translator, tree, kind)
    elif isinstance(tree, exp.Alter) and kind == "TABLE":
        _add_columns(catalog, translator, tree)
    else:
        raise refused(f"{tree.key.upper()} {kind}")


def _create(catalog: Catalog, translator: "Translator", tree: Node, kind: str) -> None:
    named = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    key = translator.key_of(named)
    existing = catalog.find("table", key)
    if existing is not None and tree.args.get("exists"):
        return
    if existing is not None and tree.args.get("replace"):
        if ("view" in existing) != (kind == "VIEW"):
            raise invalid_query(f"{existing['id']} is a {existing['type']}: it cannot be replaced by a {kind}")
        catalog.delete("table", key)
    project, dataset, name = key.split(".")
    given: Resource = {
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": name},
        **options(tree.args.get("properties")),
    }
    if kind == "VIEW":
        given["view"] = {"query": tree.expression.sql(dialect="bigquery")}
    create_table(catalog, translator, tree, given)


def create_table(catalog: Catalog, translator: "Translator", tree: Node, given: Resource) -> None:
    """Put the table or view into the catalog, and the rows of AS SELECT into the table."""
    columns = [_column(each) for each in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    sql = ""
    if tree.expression:
        sql = translator.query(tree.expression.copy())
        described = catalog.cursor.execute(f"SELECT * FROM ({sql}) LIMIT 0").description
        found = [from_duckdb(column[0], column[1]) for column in described]
        columns = columns or found
    if not columns:
        raise refused("CREATE TABLE without columns")
    table = resources.make_table(catalog, {**given, "schema": {"fields": columns}})
    reference = table["tableReference"]
    catalog.create("table", f"{reference['projectId']}.{reference['datasetId']}.{reference['tableId']}", table)
    if sql and "_rows" in table:
        empty = ", ".join(
            f"coalesce({quoted(field['name'])}, []) AS {quoted(field['name'])}"
            for field in found
            if field["mode"] == "REPEATED"
        )
        chosen = f"* REPLACE ({empty})" if empty else "*"
        catalog.cursor.execute(f"INSERT INTO {table['_rows']} SELECT {chosen} FROM ({sql})")


def _column(definition: Node) -> Field:
    if not isinstance(definition, exp.ColumnDef):
        raise refused(f"{type(definition).__name__} among columns")
    field = _typed(definition.name, definition.args["kind"])
    for constraint in definition.args.get("constraints") or []:
        kind = constraint.args["kind"]
        if isinstance(kind, exp.NotNullColumnConstraint):
            field["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties):
            field.update({name: value for name, value in options(kind).items() if name == "description"})
        else:
            raise refused(f"the column constraint {kind.sql('bigquery')}")
    return field


def _typed(name: str, kind: exp.DataType) -> Field:
    given = kind.this.name
    if given == "ARRAY":
        return {**_typed(name, kind.expressions[0]), "mode": "REPEATED"}
    if given == "STRUCT":
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": [_column(c) for c in kind.expressions]}
    if given not in COLUMN_TYPES or kind.expressions:
        raise refused(f"the type {kind.sql('bigquery')} (column {name})")
    return {"name": name, "type": COLUMN_TYPES[given], "mode": "NULLABLE"}


def options(properties: Node | None) -> Resource:
    """PARTITION BY, CLUSTER BY and OPTIONS as properties of the resource."""
    made: Resource = {}
    for each in properties.expressions if properties is not None else []:
        if isinstance(each, exp.PartitionedByProperty):
            made.setdefault("timePartitioning", {}).update(_partitioning(each.this))
        elif isinstance(each, exp.ClusterProperty):
            made["clustering"] = {"fields": [column.name for column in each.expressions]}
        elif isinstance(each, exp.LocationProperty):
            made["location"] = each.this.name
        elif isinstance(each, exp.Property):
            _option(made, each.this.name.lower(), each.args["value"])
        else:
            raise refused(each.sql("bigquery"))
    return made


def _partitioning(by: Node) -> Resource:
    if isinstance(by, exp.Date) and isinstance(by.this, exp.Column):
        return {"type": "DAY", "field": by.this.name}
    if isinstance(by, exp.TimestampTrunc | exp.DateTrunc) and isinstance(by.this, exp.Column):
        return {"type": by.args["unit"].name.upper(), "field": by.this.name}
    if isinstance(by, exp.Identifier | exp.Column):
        return {"type": "DAY", "field": by.name}
    raise refused(f"PARTITION BY {by.sql('bigquery')}")


def _option(made: Resource, name: str, value: Node) -> None:
    plain: Any = value.name if isinstance(value, exp.Literal) else value.sql("bigquery")
    if name in ("description", "friendly_name", "location"):
        made[{"friendly_name": "friendlyName"}.get(name, name)] = plain
    elif name == "require_partition_filter":
        made["requirePartitionFilter"] = plain.upper() == "TRUE"
    elif name == "partition_expiration_days":
        made.setdefault("timePartitioning", {})["expirationMs"] = str(int(float(plain) * DAY_MS))
    elif name == "labels" and isinstance(value, exp.Array):
        made["labels"] = {pair.expressions[0].name: pair.expressions[1].name for pair in value.expressions}
    else:
        raise refused(f"OPTIONS({name})")


def _create_schema(catalog: Catalog, translator: "Translator", tree: Node) -> None:
    project, name = tree.this.catalog or translator.project, tree.this.db
    key = f"{project}.{name}"
    if tree.args.get("exists") and catalog.find("dataset", key) is not None:
        return
    given = {"datasetReference": {"datasetId": name}, **options(tree.args.get("properties"))}
    catalog.create("dataset", key, resources.make_dataset(given, project))


def _drop(catalog: Catalog, translator: "Translator", tree: Node, kind: str) -> None:
    named = tree.args["tables"][0] if tree.args.get("tables") else tree.this
    if kind == "SCHEMA":
        key = f"{named.catalog or translator.project}.{named.db}"
        if tree.args.get("exists") and catalog.find("dataset", key) is None:
            return
        resources.delete_dataset(catalog, key, contents=bool(tree.args.get("cascade")))
        return
    key = translator.key_of(named)
    found = catalog.find("table", key)
    if found is None and tree.args.get("exists"):
        return
    if found is not None and ("view" in found) != (kind == "VIEW"):
        raise invalid_query(f"{found['id']} is a {found['type']}: DROP {kind} does not fit")
    catalog.delete("table", key)


def _add_columns(catalog: Catalog, translator: "Translator", tree: Node) -> None:
    table = translator.table(tree.this)
    fields = list(table["schema"]["fields"])
    for action in tree.args["actions"]:
        if not isinstance(action, exp.ColumnDef):
            raise refused(f"ALTER TABLE {action.sql('bigquery')}")
        there = any(field["name"].lower() == action.name.lower() for field in fields)
        if not (there and action.args.get("exists")):
            fields.append(_column(action))
    changed = resources.change_schema(catalog, table, fields)
    catalog.put("table", resources.table_key(table["tableReference"]), resources.patch(changed, {}))
