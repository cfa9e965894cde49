"""BigQuery's functions of timestamps and dates, written for DuckDB; the children of a node are rewritten already."""

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from local.bigquery.errors import refused
from local.bigquery.nodes import Node, call, cast, fill

UNITS_US = {
    "MICROSECOND": 1,
    "MILLISECOND": 1000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
TRUNC_UNITS = {**{unit: unit for unit in (*UNITS_US, "MONTH", "QUARTER", "YEAR")}, "ISOWEEK": "WEEK"}
DATE_UNITS = {"DAY": 1, "WEEK": 7}
PARTS = {
    "YEAR": "year({})", "MONTH": "month({})", "DAY": "day({})", "HOUR": "hour({})", "MINUTE": "minute({})",
    "SECOND": "second({})", "QUARTER": "quarter({})", "DAYOFYEAR": "dayofyear({})", "ISOWEEK": "week({})",
    "ISOYEAR": "isoyear({})", "DAYOFWEEK": "(dayofweek({}) + 1)", "DATE": "CAST({} AS DATE)",
    "MILLISECOND": "(millisecond({}) % 1000)", "MICROSECOND": "(microsecond({}) % 1000000)",
}  # fmt: skip
FORMAT = re.compile(r"(?:[^%]|%[YmdHMSyjAaBbpI%]|(?<=%S[.])%f)*")


def only_utc(node: Node) -> None:
    """Refuse a time zone other than UTC, which is the only one here."""
    zone = node.args.get("zone")
    if zone is not None and str(zone.name).upper() not in ("UTC", "+00", "+00:00", "ETC/UTC"):
        raise refused("time zones other than UTC")


def unit_of(node: Node, known: dict[str, Any], where: str) -> Any:
    """What `known` says of the node's unit. Refuses units that it does not know."""
    name = node.args["unit"].name.upper() if node.args.get("unit") else "DAY"
    if name not in known:
        raise refused(f"{where} with the unit {node.args['unit'].sql('bigquery')}")
    return known[name]


def add_time(node: Node) -> Node:
    """TIMESTAMP_ADD and TIMESTAMP_SUB."""
    by = unit_of(node, UNITS_US, type(node).__name__) * (-1 if isinstance(node, exp.TimestampSub) else 1)
    return call("bq_plus", node.this, cast(node.expression, "BIGINT"), by)


def add_date(node: Node) -> Node:
    """DATE_ADD and DATE_SUB by days and weeks."""
    days = unit_of(node, DATE_UNITS, type(node).__name__) * (-1 if isinstance(node, exp.DateSub) else 1)
    count = exp.Mul(this=cast(node.expression, "INTEGER"), expression=exp.Literal.number(days))
    return exp.Paren(this=exp.Add(this=cast(node.this, "DATE"), expression=exp.Paren(this=count)))


def diff_date(node: Node) -> Node:
    """DATE_DIFF, which counts the boundaries crossed."""
    unit = unit_of(node, {name: name for name in ("DAY", "MONTH", "QUARTER", "YEAR")}, "DATE_DIFF")
    return call("date_diff", exp.Literal.string(unit), cast(node.expression, "DATE"), cast(node.this, "DATE"))


def truncate(node: Node) -> Node:
    """TIMESTAMP_TRUNC and DATE_TRUNC."""
    only_utc(node)
    unit = unit_of(node, TRUNC_UNITS, type(node).__name__)
    cut = call("date_trunc", exp.Literal.string(unit), node.this)
    return cast(cut, "DATE") if isinstance(node, exp.DateTrunc) else cut


def from_unix(node: Node) -> Node:
    """TIMESTAMP_SECONDS, TIMESTAMP_MILLIS and TIMESTAMP_MICROS."""
    scale = node.args.get("scale")
    digits = int((scale.this if isinstance(scale, exp.Cast) else scale).name) if scale is not None else 0
    return call("bq_micros", node.this, 10 ** (6 - digits))


def to_unix(by: int) -> Callable[[Node], Node]:
    """UNIX_SECONDS, UNIX_MILLIS and UNIX_MICROS: rounded down, also before 1970."""
    return lambda node: call("bq_floor", call("epoch_us", node.this), by)


def extract(node: Node) -> Node:
    """EXTRACT of the parts that mean the same."""
    part = node.this.name.upper() if isinstance(node.this, exp.Var) else node.this.sql("bigquery")
    if part not in PARTS or isinstance(node.expression, exp.AtTimeZone):
        raise refused(f"EXTRACT({part})")
    return fill(PARTS[part], node.expression)


def format_time(node: Node) -> Node:
    """FORMAT_TIMESTAMP, FORMAT_DATE, PARSE_TIMESTAMP and PARSE_DATE with the elements that mean the same."""
    only_utc(node)
    pattern = node.args["format"]
    if not isinstance(pattern, exp.Literal) or not FORMAT.fullmatch(pattern.name):
        raise refused(f"the time format {pattern.sql('bigquery')}")
    if isinstance(node, exp.TimeToStr):
        return call("strftime", node.this.this, pattern)
    parsed = call("strptime", node.this, pattern)
    return cast(parsed, "DATE") if isinstance(node, exp.StrToDate) else parsed


def timestamp(node: Node) -> Node:
    """TIMESTAMP(text or date)."""
    only_utc(node)
    return call("bq_must", node.this.copy(), call("bq_safe_timestamp", node.this), exp.Literal.string("TIMESTAMP"))


def date(node: Node) -> Node:
    """DATE(timestamp)."""
    only_utc(node)
    return cast(node.this, "DATE")
