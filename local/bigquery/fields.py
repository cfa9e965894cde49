"""Columns: BigQuery's field resources and the DuckDB types that hold them."""

from typing import Any

from duckdb.sqltypes import DuckDBPyType

from local.bigquery.errors import invalid, refused

Field = dict[str, Any]

STANDARD_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
DUCKDB_TYPES = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP",
    "DATE": "DATE",
}
BIGQUERY_TYPES = {
    **{duckdb: name for name, duckdb in DUCKDB_TYPES.items()},
    # Literals and sums: an INT64 in BigQuery, wider or narrower in DuckDB.
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "UINTEGER", "UBIGINT", "HUGEINT", '"NULL"', "NULL"), "INTEGER"),
}
MODES = ("NULLABLE", "REQUIRED", "REPEATED")


def to_field(given: Field) -> Field:
    """The field as BigQuery returns it: type in its older name, mode given. Refuses types that it cannot hold."""
    kind = STANDARD_NAMES.get(str(given.get("type", "")).upper(), str(given.get("type", "")).upper())
    mode = str(given.get("mode") or "NULLABLE").upper()
    if mode not in MODES:
        raise invalid(f"Invalid mode {mode} of field {given.get('name')}")
    if kind != "RECORD" and kind not in DUCKDB_TYPES:
        raise refused(f"the type {kind} (field {given.get('name')})")
    field = {"name": given["name"], "type": kind, "mode": mode}
    if given.get("description"):
        field["description"] = given["description"]
    if kind == "RECORD":
        field["fields"] = to_schema(given.get("fields", []))
    return field


def to_schema(given: list[Field]) -> list[Field]:
    """All fields of a table or record; a name given twice is refused, in any case of letters."""
    names = [str(field["name"]).lower() for field in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise invalid(f"Field {twice} already exists in schema")
    return [to_field(field) for field in given]


def quoted(name: str) -> str:
    """The name as an identifier in SQL for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def duckdb_type(field: Field) -> str:
    """The type that holds the field's values."""
    inner = f"STRUCT({columns(field['fields'])})" if field["type"] == "RECORD" else DUCKDB_TYPES[field["type"]]
    return f"{inner}[]" if field["mode"] == "REPEATED" else inner


def columns(fields: list[Field]) -> str:
    """name type, name type, ..."""
    return ", ".join(f"{quoted(field['name'])} {duckdb_type(field)}" for field in fields)


def column_definitions(fields: list[Field]) -> str:
    """The same with NOT NULL: REPEATED columns are never null in BigQuery, only empty."""
    return ", ".join(
        f"{quoted(field['name'])} {duckdb_type(field)}{' NOT NULL' if field['mode'] == 'REQUIRED' else ''}"
        f"{' DEFAULT []' if field['mode'] == 'REPEATED' else ''}"
        for field in fields
    )


def from_duckdb(name: str, kind: DuckDBPyType) -> Field:
    """The field of a query's result column."""
    if kind.id == "list":
        element = from_duckdb(name, _inner_types(kind)[0][1])
        if element["mode"] == "REPEATED":
            raise refused("arrays of arrays in a result (BigQuery has none)")
        return {**element, "mode": "REPEATED"}
    if kind.id == "struct":
        inner = [from_duckdb(child, child_kind) for child, child_kind in _inner_types(kind)]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": inner}
    if str(kind) not in BIGQUERY_TYPES:
        raise refused(f"results of DuckDB's type {kind} (column {name})")
    return {"name": name, "type": BIGQUERY_TYPES[str(kind)], "mode": "NULLABLE"}


def _inner_types(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    return [(name, inner) for name, inner in kind.children if isinstance(inner, DuckDBPyType)]
