"""Load jobs: Avro objects into one table, in one transaction over all their addresses."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.bigquery.avro_rows import AvroFile, raw_type, value_sql
from local.bigquery.catalog import Catalog, Resource
from local.bigquery.errors import duplicate, invalid, not_found, refused
from local.bigquery.fields import DUCKDB_TYPES, Field, quoted
from local.bigquery.objects import Objects
from local.bigquery.resources import make_table, table_key

KNOWN = {
    "sourceUris", "destinationTable", "sourceFormat", "createDisposition", "writeDisposition", "useAvroLogicalTypes",
    "ignoreUnknownValues", "timePartitioning", "clustering", "maxBadRecords", "encoding", "destinationTableProperties",
}  # fmt: skip
DEFAULTS = {"maxBadRecords": 0, "encoding": "UTF-8"}


def check(config: Resource) -> None:
    """Refuse what the stand-in does not do, before a job is made of it."""
    for name, value in config.items():
        if name not in KNOWN and value not in (None, [], {}, False):
            raise refused(f"load jobs with {name}")
    if str(config.get("sourceFormat", "CSV")).upper() != "AVRO":
        raise refused(f"loads of {config.get('sourceFormat', 'CSV')}, only of AVRO")
    if not config.get("sourceUris"):
        raise invalid("Load configuration must specify at least one source URI")
    if not config.get("destinationTable"):
        raise invalid("Required parameter is missing: destinationTable")


def run(catalog: Catalog, objects: Objects, config: Resource, scratch: Path) -> Resource:
    """Do it; the statistics of the load. Raises BigQueryError, and then the caller undoes the transaction."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files = list(_fetch(objects, config, Path(folder)))
        table = _target(catalog, config, files)
        lines = Path(folder) / "rows.json"
        longest = _write_lines(files, table["schema"]["fields"], lines)
        rows = _insert(catalog, table, lines, longest)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.avro"))
    return {"inputFiles": str(len(files)), "inputFileBytes": str(size), "outputRows": str(rows), "badRecords": "0"}


def _fetch(objects: Objects, config: Resource, folder: Path) -> Iterator[AvroFile]:
    for number, uri in enumerate(objects.expand(config["sourceUris"])):
        content = (folder / f"{number}.avro").open("w+b")
        objects.download(uri, content)
        yield AvroFile(content, uri, logical_types=bool(config.get("useAvroLogicalTypes")))


def _target(catalog: Catalog, config: Resource, files: list[AvroFile]) -> Resource:
    """The table to insert into, made or emptied as the dispositions say, its columns checked against every file."""
    key = table_key(config["destinationTable"])
    catalog.get("dataset", key.rpartition(".")[0])
    table = catalog.find("table", key)
    if table is None and config.get("createDisposition") == "CREATE_NEVER":
        raise not_found("Table", key.replace(".", ":", 1))
    if table is not None and "_rows" not in table:
        raise invalid(f"{key} is a view: it cannot be loaded into")
    disposition = config.get("writeDisposition", "WRITE_APPEND")
    if table is not None and disposition == "WRITE_EMPTY" and catalog.num_rows(table):
        raise duplicate("Table", key.replace(".", ":", 1))
    if table is None or disposition == "WRITE_TRUNCATE":
        table = _from_file(catalog, config, key, table, files[0])
    for file in files:
        _match(file.fields, table["schema"]["fields"], key, bool(config.get("ignoreUnknownValues")))
    return table


def _from_file(catalog: Catalog, config: Resource, key: str, existing: Resource | None, file: AvroFile) -> Resource:
    """A table with the file's columns: a new one, or in the place of one that is truncated."""
    given: dict[str, Any] = {"schema": {"fields": file.fields}, "tableReference": config["destinationTable"]}
    given.update({name: config[name] for name in ("timePartitioning", "clustering") if config.get(name)})
    given.update(config.get("destinationTableProperties") or {})
    if existing is not None:
        given = {**existing, **given}
        catalog.delete("table", key)
    table = make_table(catalog, given)
    catalog.put("table", key, table)
    return table


def _match(given: list[Field], columns: list[Field], where: str, ignore_unknown: bool) -> None:
    """Columns by name: all that are required are there, types are the same, and no field is left over."""
    prefix = f"Provided Schema does not match Table {where.replace('.', ':', 1)}."
    there = {field["name"].lower(): field for field in given}
    for column in columns:
        field = there.pop(column["name"].lower(), None)
        if field is None:
            if column["mode"] == "REQUIRED":
                raise invalid(f"{prefix} Field {column['name']} is missing in new schema")
            continue
        if field["type"] != column["type"]:
            changed = f"has changed type from {column['type']} to {field['type']}"
            raise invalid(f"{prefix} Field {column['name']} {changed}")
        if field["mode"] != column["mode"] and (field["mode"], column["mode"]) != ("REQUIRED", "NULLABLE"):
            changed = f"has changed mode from {column['mode']} to {field['mode']}"
            raise invalid(f"{prefix} Field {column['name']} {changed}")
        if column["type"] == "RECORD":
            _match(field["fields"], column["fields"], where, ignore_unknown)
    if there and not ignore_unknown:
        raise invalid(f"{prefix} Cannot add fields (field: {next(iter(there.values()))['name']})")


def _write_lines(files: list[AvroFile], columns: list[Field], path: Path) -> int:
    """All rows as lines of JSON; the length of the longest in bytes."""
    longest = 0
    with path.open("wb") as out:
        for file in files:
            for line in file.lines(columns):
                longest = max(longest, out.write(line.encode("utf-8", "replace") + b"\n"))
    return longest


def _insert(catalog: Catalog, table: Resource, lines: Path, longest: int) -> int:
    columns = table["schema"]["fields"]
    names = ", ".join(quoted(column["name"]) for column in columns)
    values = ", ".join(value_sql(column, quoted(column["name"])) for column in columns)
    types = ", ".join(f"{quoted(column['name'])}: '{raw_type(column, DUCKDB_TYPES)}'" for column in columns)
    done = catalog.cursor.execute(
        f"INSERT INTO {table['_rows']} ({names}) SELECT {values} FROM read_json('{lines}', columns = {{{types}}}, "
        f"format = 'newline_delimited', maximum_object_size = {max(longest + 1024, 1 << 20)})"
    )
    return int(done.fetchall()[0][0])
