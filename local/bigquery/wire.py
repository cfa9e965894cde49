"""Values and pages of rows as BigQuery's API writes them."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from local.bigquery.errors import invalid, refused
from local.bigquery.fields import Field, quoted

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - DuckDB's TIMESTAMP has no zone; all are UTC
ROWS_IN_PAGE = 10_000


def value(field: Field, given: Any, *, int64_timestamp: bool) -> Any:
    """One value: text for every scalar, {"v": ...} in arrays, {"f": ...} for records, None for NULL."""
    if field["mode"] == "REPEATED":
        if given is not None and None in given:
            raise invalid(f"Array cannot have a null element; error in writing field {field['name']}")
        one = {**field, "mode": "NULLABLE"}
        return [{"v": value(one, each, int64_timestamp=int64_timestamp)} for each in given or []]
    if given is None:
        return None
    if field["type"] == "RECORD":
        return {"f": [{"v": value(c, given[c["name"]], int64_timestamp=int64_timestamp)} for c in field["fields"]]}
    return scalar(field["type"], given, int64_timestamp=int64_timestamp)


def scalar(kind: str, given: Any, *, int64_timestamp: bool) -> str:
    """One value that is no array and no record."""
    if kind == "TIMESTAMP":
        delta = given - EPOCH
        micros = (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
        return str(micros) if int64_timestamp else repr(micros / 1e6)
    if kind == "BYTES":
        return base64.b64encode(given).decode()
    if kind == "BOOLEAN":
        return "true" if given else "false"
    if kind == "INTEGER" and not -(2**63) <= given < 2**63:
        raise invalid("integer overflow")
    if kind == "FLOAT":
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(given), repr(given))
    return str(given)


def page(
    cursor: duckdb.DuckDBPyConnection, table: str, fields: list[Field], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """rows, totalRows and, where there are more, pageToken; `asked` are the request's parameters."""
    if asked.get("formatOptions.timestampOutputFormat"):
        raise refused("formatOptions.timestampOutputFormat")
    if not fields:
        return {"totalRows": "0"}
    total = int(cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
    if str(asked.get("maxResults")) == "0":
        return {"totalRows": str(total)}  # the client asks so to wait for the end; rows would be taken for a page
    start = int(asked.get("pageToken") or asked.get("startIndex") or 0)
    size = min(int(asked.get("maxResults") or ROWS_IN_PAGE), ROWS_IN_PAGE)
    names = ", ".join(quoted(field["name"]) for field in fields)
    rows = cursor.execute(f"SELECT {names} FROM {table} LIMIT {size} OFFSET {start}").fetchall()
    exact = str(asked.get("formatOptions.useInt64Timestamp", "")).lower() == "true"
    written = [
        {"f": [{"v": value(field, each, int64_timestamp=exact)} for field, each in zip(fields, row, strict=True)]}
        for row in rows
    ]
    answer: dict[str, Any] = {"totalRows": str(total), "rows": written}
    if start + len(rows) < total:
        answer["pageToken"] = str(start + len(rows))
    return answer
