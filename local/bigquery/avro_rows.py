"""Avro files as rows for a table: the schema that a file stands for, and its rows as lines of JSON for DuckDB."""

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any

import fastavro
from fastavro.read import LOGICAL_READERS

from local.bigquery.errors import BigQueryError, invalid, refused
from local.bigquery.fields import Field, quoted

Avro = Any
Convert = Callable[[Any], Any]

# This process wants the file's own numbers: building a datetime for each costs more than the rest of the row.
for _plain in ("long-timestamp-micros", "long-timestamp-millis", "int-date"):
    LOGICAL_READERS[_plain] = lambda number, *_: number

PRIMITIVES = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "INTEGER",
    "float": "FLOAT",
    "double": "FLOAT",
    "bytes": "BYTES",
    "fixed": "BYTES",
    "string": "STRING",
    "enum": "STRING",
}
LOGICAL = {"date": "DATE", "timestamp-millis": "TIMESTAMP", "timestamp-micros": "TIMESTAMP"}
UNREADABLE = (EOFError, ValueError, KeyError, IndexError, TypeError, OverflowError, AssertionError, MemoryError)


class AvroFile:
    """One Avro file, opened: `fields` is the schema that BigQuery would give a new table.

    Raises BigQueryError 'invalid' where the bytes are not Avro, 'invalidQuery' for what has no column type here.
    """

    def __init__(self, content: IO[bytes], uri: str, *, logical_types: bool) -> None:
        self.uri = uri
        self.logical_types = logical_types
        self.named: dict[str, Avro] = {}
        try:
            self.reader = fastavro.reader(content)
        except UNREADABLE as error:
            raise self._damaged(error) from error
        schema = self.reader.writer_schema
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise invalid(f"The Apache Avro library failed to parse the header: no record schema. File: {uri}")
        self.avro_fields = {field["name"]: field["type"] for field in schema["fields"]}
        self.fields = [self._field(name, kind) for name, kind in self.avro_fields.items()]

    def lines(self, columns: list[Field]) -> Iterator[str]:
        """Each row as a JSON object keyed by column, in the form that `value_sql` reads.

        Raises BigQueryError 'invalid' at the first null where there must be none, and where the file is cut short.
        """
        named = {column["name"].lower(): column for column in columns}
        changes = []
        for name, kind in self.avro_fields.items():
            column = named.get(name.lower())
            convert = column and self._convert(kind, column["name"])
            if column and (convert or column["name"] != name):
                changes.append((name, column["name"], convert or (lambda value: value)))
        extra = [name for name in self.avro_fields if name.lower() not in named]
        dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
        for row in self._rows():
            for name in extra:
                del row[name]
            for name, target, convert in changes:
                row[target] = convert(row.pop(name))
            yield dumps(row)

    def _rows(self) -> Iterator[Any]:
        try:
            yield from self.reader
        except UNREADABLE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> BigQueryError:
        return invalid(
            f"Error while reading data, error message: The Apache Avro library failed to read data with the "
            f"following error: {type(error).__name__} {error} File: {self.uri}"
        )

    def _field(self, name: str, kind: Avro) -> Field:
        kind, nullable = self._split_null(kind, name)
        if isinstance(kind, dict) and kind["type"] == "array":
            element = self._field(name, kind["items"])
            if element["mode"] == "REPEATED":
                raise invalid(f"Field {name}: BigQuery has no arrays of arrays. File: {self.uri}")
            return {**element, "mode": "REPEATED"}
        mode = "NULLABLE" if nullable else "REQUIRED"
        if isinstance(kind, dict) and kind["type"] == "record":
            fields = [self._field(inner["name"], inner["type"]) for inner in kind["fields"]]
            return {"name": name, "type": "RECORD", "mode": mode, "fields": fields}
        return {"name": name, "type": self._scalar(name, kind), "mode": mode}

    def _scalar(self, name: str, kind: Avro) -> str:
        base, logical = (kind["type"], kind.get("logicalType")) if isinstance(kind, dict) else (kind, None)
        if base not in PRIMITIVES:
            raise refused(f"the Avro type {base} (field {name})")
        if not self.logical_types or logical in (None, "uuid"):
            return PRIMITIVES[base]
        if logical not in LOGICAL:
            raise refused(f"the Avro logical type {logical} (field {name})")
        return LOGICAL[logical]

    def _split_null(self, kind: Avro, name: str) -> tuple[Avro, bool]:
        """The type without its null, records and enums named earlier looked up."""
        parts = kind if isinstance(kind, list) else [kind]
        others = [part for part in parts if part != "null"]
        if len(others) != 1:
            raise refused(f"Avro unions of several types (field {name})")
        kind = self.named.get(others[0], others[0]) if isinstance(others[0], str) else others[0]
        if isinstance(kind, dict) and "name" in kind:
            self.named[kind["name"]] = kind
        return kind, len(others) < len(parts)

    def _convert(self, kind: Avro, path: str) -> Convert | None:
        """What turns a value of the file into JSON; None where it is JSON already."""
        kind, nullable = self._split_null(kind, path)
        if isinstance(kind, dict) and kind["type"] == "array":
            items, null_items = self._split_null(kind["items"], path)
            convert = self._convert(items, path)
            return partial(_array, convert, path) if convert or nullable or null_items else None
        convert = self._convert_value(kind, path)
        return partial(_nullable, convert) if convert and nullable else convert

    def _convert_value(self, kind: Avro, path: str) -> Convert | None:
        base = kind["type"] if isinstance(kind, dict) else kind
        if base in ("bytes", "fixed"):
            return lambda value: base64.b64encode(value).decode()
        if base in ("float", "double"):
            return _finite
        if base == "record":
            inner = {field["name"]: self._convert(field["type"], path) for field in kind["fields"]}
            return partial(_record, inner) if any(inner.values()) else None
        if self.logical_types and isinstance(kind, dict) and kind.get("logicalType") == "timestamp-millis":
            return lambda value: value * 1000
        return None


def _array(convert: Convert | None, path: str, values: list[Any] | None) -> list[Any]:
    if values is None:
        return []
    if None in values:
        raise invalid(f"Only optional fields can be set to NULL. Field: {path}; Value: NULL (array element)")
    return [convert(value) for value in values] if convert else values


def _nullable(convert: Convert, value: Any) -> Any:
    return None if value is None else convert(value)


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _record(inner: Mapping[str, Convert | None], value: dict[str, Any]) -> dict[str, Any]:
    return {name: convert(value[name]) if convert else value[name] for name, convert in inner.items()}


# How DuckDB reads those lines: the type as JSON carries it, and the expression that makes the column's value of it.

RAW_TYPES = {"TIMESTAMP": "BIGINT", "DATE": "INTEGER", "BYTES": "VARCHAR"}
VALUES = {"TIMESTAMP": "make_timestamp({})", "DATE": "(DATE '1970-01-01' + {})", "BYTES": "from_base64({})"}


def raw_type(field: Field, plain: Mapping[str, str]) -> str:
    """DuckDB's type of the column in a line of JSON; `plain` names the types that are carried as they are."""
    if field["type"] == "RECORD":
        inner = ", ".join(f"{quoted(child['name'])} {raw_type(child, plain)}" for child in field["fields"])
        kind = f"STRUCT({inner})"
    else:
        kind = RAW_TYPES.get(field["type"], plain[field["type"]])
    return f"{kind}[]" if field["mode"] == "REPEATED" else kind


def value_sql(field: Field, raw: str, depth: int = 0) -> str:
    """The expression that turns `raw` into the column's value; a REPEATED column that is missing is empty."""
    if field["mode"] == "REPEATED":
        item = f"item{depth}"
        inner = value_sql({**field, "mode": "NULLABLE"}, item, depth + 1)
        values = raw if inner == item else f"list_transform({raw}, lambda {item}: {inner})"
        return f"coalesce({values}, [])"
    if field["type"] == "RECORD":
        parts = ((quoted(child["name"]), child) for child in field["fields"])
        values = ", ".join(f"{name}: {value_sql(child, f'{raw}.{name}', depth)}" for name, child in parts)
        return f"CASE WHEN {raw} IS NULL THEN NULL ELSE {{{values}}} END"
    return VALUES.get(field["type"], "{}").format(raw)
