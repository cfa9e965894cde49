"""Query parameters, named or by position, as expressions for DuckDB."""

import re
from typing import Any

from sqlglot import exp

from local.bigquery.errors import invalid_query, refused
from local.bigquery.fields import DUCKDB_TYPES, STANDARD_NAMES, quoted
from local.bigquery.nodes import Node

Typed = dict[str, Any]


class Parameters:
    """The parameters of one query, as its configuration gives them."""

    def __init__(self, query: Typed) -> None:
        given = query.get("queryParameters") or []
        self.by_name = {(each.get("name") or f"_{place}").lower(): each for place, each in enumerate(given, 1)}

    def named(self, name: str) -> Node:
        """@name; the n-th ? is @_n. Raises BigQueryError 'invalidQuery' where it was not given."""
        if name.lower() not in self.by_name:
            raise invalid_query(f"Query parameter '{name}' not found")
        return _value(self.by_name[name.lower()])


def _value(given: Typed) -> Node:
    return exp.maybe_parse(_sql(given["parameterType"], given.get("parameterValue") or {}), dialect="duckdb")


def _type(given: Typed) -> str:
    if given["type"] == "ARRAY":
        return f"{_type(given['arrayType'])}[]"
    if given["type"] == "STRUCT":
        inner = ", ".join(f"{quoted(each.get('name') or '')} {_type(each['type'])}" for each in given["structTypes"])
        return f"STRUCT({inner})"
    name = STANDARD_NAMES.get(given["type"], given["type"])
    if name not in DUCKDB_TYPES:
        raise refused(f"parameters of the type {given['type']}")
    return DUCKDB_TYPES[name]


def _sql(kind: Typed, value: Typed) -> str:
    if kind["type"] == "ARRAY":
        items = ", ".join(_sql(kind["arrayType"], each) for each in value.get("arrayValues", []))
        return f"CAST([{items}] AS {_type(kind)})"
    if kind["type"] == "STRUCT":
        inner = value.get("structValues", {})
        parts = (
            f"{quoted(each['name'])}: {_sql(each['type'], inner.get(each['name'], {}))}" for each in kind["structTypes"]
        )
        return f"CAST({{{', '.join(parts)}}} AS {_type(kind)})"
    if value.get("value") is None:
        return f"CAST(NULL AS {_type(kind)})"
    text = "'" + str(value["value"]).replace("'", "''") + "'"
    if kind["type"] == "TIMESTAMP":
        return _timestamp(str(value["value"]))
    if kind["type"] == "BYTES":
        return f"from_base64({text})"
    return text if kind["type"] == "STRING" else f"CAST({text} AS {_type(kind)})"


def _timestamp(text: str) -> str:
    plain = re.sub(r"(Z|[+]00:?00| UTC)$", "", text.strip())
    if not re.fullmatch(r"\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d?:\d\d?(\.\d{1,6})?)?", plain):
        raise refused(f"the timestamp parameter {text}: give it in UTC")
    return f"CAST('{plain}' AS TIMESTAMP)"
