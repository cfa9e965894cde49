"""Which parts of BigQuery's SQL are known to be right on DuckDB, and how those are written that differ.

What stands neither in PLAIN nor in REWRITES is refused by its name.
"""

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from local.bigquery.errors import invalid_query, refused
from local.bigquery.macros import WHITESPACE

Node = exp.Expression

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
CAST_TYPES = {
    "TEXT": ("string", "STRING"),
    "BIGINT": ("int", "INT64"),
    "DOUBLE": ("float", "FLOAT64"),
    "BOOLEAN": ("bool", "BOOL"),
    "TIMESTAMPTZ": ("timestamp", "TIMESTAMP"),
    "DATE": ("date", "DATE"),
    "BINARY": ("bytes", "BYTES"),
}
PARTS = {
    "YEAR": "year({})", "MONTH": "month({})", "DAY": "day({})", "HOUR": "hour({})", "MINUTE": "minute({})",
    "SECOND": "second({})", "QUARTER": "quarter({})", "DAYOFYEAR": "dayofyear({})", "ISOWEEK": "week({})",
    "ISOYEAR": "isoyear({})", "DAYOFWEEK": "(dayofweek({}) + 1)", "DATE": "CAST({} AS DATE)",
    "MILLISECOND": "(millisecond({}) % 1000)", "MICROSECOND": "(microsecond({}) % 1000000)",
}  # fmt: skip
FORMAT = re.compile(r"(?:[^%]|%[YmdHMSyjAaBbpI%]|(?<=%S[.])%f)*")

SAME = """
    Select From Join Where Group Having Qualify Order Ordered Limit Offset With CTE Subquery Union Except Intersect
    Alias Column Identifier Star TableAlias Paren And Or Not Is Null Boolean Exists Case If Coalesce Nullif
    Add Sub Mul Mod IntDiv Neg Distinct Window WindowSpec Var PropertyEQ DataType DataTypeParam ColumnDef
    Count CountIf Sum Avg Min Max AnyValue LogicalOr LogicalAnd
    RowNumber Rank DenseRank Ntile Lag Lead FirstValue LastValue NthValue RespectNulls
    Lower Upper StartsWith EndsWith Concat DPipe Abs Sqrt Ln Greatest Least StrPosition Replace Reverse IsNan
    RegexpLike RawString NullSafeEQ NullSafeNEQ ToBase64 Split RegexpReplace
    ArraySize ArrayReverse TsOrDsToTimestamp TsOrDsToDate
"""
PLAIN: frozenset[type[Node]] = frozenset(getattr(exp, name) for name in SAME.split())


def call(name: str, *arguments: Any) -> Node:
    """A call of a function or macro of DuckDB; whole numbers may be given as they are."""
    given = [exp.Literal.number(each) if isinstance(each, int) else each for each in arguments]
    return exp.Anonymous(this=name, expressions=given)


def cast(node: Node, kind: str) -> Node:
    """CAST to a type of DuckDB, without BigQuery's rules."""
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def fill(template: str, node: Node) -> Node:
    """An expression of DuckDB written out, with the node at {}."""
    return exp.Paren(this=exp.maybe_parse(template.format("_node_"), dialect="duckdb").transform(
        lambda part: node if isinstance(part, exp.Column) and part.name == "_node_" else part
    ))  # fmt: skip


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


# One function a kind of node; its children are rewritten already.


def literal(node: Node) -> Node:
    """Numbers are INT64 or FLOAT64, where DuckDB would take 32 bits or a decimal. Positions stay as they are."""
    if node.args.get("is_string") or isinstance(node.parent, exp.Limit | exp.Offset | exp.Group | exp.Ordered):
        return node
    if isinstance(node.parent, exp.WindowSpec | exp.DataTypeParam):
        return node
    return cast(node.copy(), "BIGINT" if str(node.this).isdigit() else "DOUBLE")


def cast_node(node: Node) -> Node:
    """CAST and SAFE_CAST; typed ARRAY<> and STRUCT<> constructors keep their type."""
    target = node.args["to"]
    kind = target.this.name if isinstance(target.this, exp.DType) else str(target.this)
    if kind in ("ARRAY", "STRUCT"):
        if not isinstance(node.this, exp.Array | exp.Struct | exp.Null | exp.Tuple):
            raise refused(f"CAST AS {kind}")
        return exp.Cast(this=node.this, to=plain_type(target))
    if kind not in CAST_TYPES or target.expressions:
        raise refused(f"the type {target.sql('bigquery')}")
    name, shown = CAST_TYPES[kind]
    safe = call(f"bq_safe_{name}", node.this)
    if isinstance(node, exp.TryCast):
        return safe
    return call("bq_must", node.this.copy(), safe, exp.Literal.string(shown))


def plain_type(target: exp.DataType) -> exp.DataType:
    """The type in DuckDB's terms, nested ones too. Refuses what has no column type here."""

    def change(part: Node) -> Node:
        if isinstance(part, exp.DataType) and isinstance(part.this, exp.DType):
            if part.this.name not in CAST_TYPES and part.this.name not in ("ARRAY", "STRUCT"):
                raise refused(f"the type {part.sql('bigquery')}")
            if part.this.name == "TIMESTAMPTZ":
                return exp.DataType.build("TIMESTAMP", dialect="duckdb")
        return part

    changed: exp.DataType = target.transform(change)
    return changed


def compare(node: Node) -> Node:
    """BigQuery compares numbers with numbers only; text that names another zone is not UTC text."""
    if isinstance(node.parent, exp.Update):
        return node  # an assignment
    for side, other in (("this", "expression"), ("expression", "this")):
        operand = node.args[other]
        if isinstance(operand, exp.Cast) and isinstance(operand.this, exp.Literal) and not operand.this.is_string:
            node.set(side, call("bq_number", node.args[side]))
            break
        if isinstance(operand, exp.Literal) and re.search(r"\d[+-]\d\d?(:\d\d)?$", operand.name[10:]):
            raise refused(f"timestamp text with a time zone in a comparison: {operand.name}")
    return node


def in_node(node: Node) -> Node:
    """IN with a list, a subquery or UNNEST."""
    if node.args.get("unnest"):
        return call("bq_in_array", node.this, node.args["unnest"].expressions[0])
    first = node.expressions[0] if node.expressions else None
    if isinstance(first, exp.Cast) and isinstance(first.this, exp.Literal) and not first.this.is_string:
        node.set("this", call("bq_number", node.this))
    return node


def between(node: Node) -> Node:
    """BETWEEN as two comparisons, under the same rules."""
    low = compare(exp.GTE(this=node.this.copy(), expression=node.args["low"]))
    return exp.Paren(this=exp.And(this=low, expression=compare(exp.LTE(this=node.this, expression=node.args["high"]))))


def like(node: Node) -> Node:
    """LIKE, in which a backslash escapes."""
    escaped = exp.Escape(this=exp.Like(this=node.this, expression=node.expression), expression=exp.Literal.string("\\"))
    return exp.Not(this=exp.Paren(this=escaped)) if node.args.get("negate") else escaped


def aggregate_array(node: Node) -> Node:
    """ARRAY_AGG and ARRAY_CONCAT_AGG with DISTINCT, IGNORE NULLS, ORDER BY and LIMIT."""
    ignore = isinstance(node, exp.IgnoreNulls)
    inner = node.this if ignore else node
    if not isinstance(inner, exp.ArrayAgg | exp.ArrayConcatAgg):
        return node
    argument, limit = inner.this, None
    if isinstance(argument, exp.Limit):
        argument, limit = argument.this, argument.expression
    value = argument.this if isinstance(argument, exp.Order) else argument
    value = value.expressions[0] if isinstance(value, exp.Distinct) else value
    made = call("array_agg", argument)
    if ignore or isinstance(inner, exp.ArrayConcatAgg):
        present = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        made = exp.Filter(this=made, expression=exp.Where(this=present))
    made = call("list_slice", made, 1, limit) if limit is not None else made
    return call("flatten", made) if isinstance(inner, exp.ArrayConcatAgg) else made


def aggregate_text(node: Node) -> Node:
    """STRING_AGG; the separator is a comma unless given."""
    value, order = node.this, None
    if isinstance(value, exp.Limit):
        raise refused("STRING_AGG with LIMIT")
    if isinstance(value, exp.Order):
        value, order = value.this, value
    separator = node.args.get("separator") or exp.Literal.string(",")
    last = exp.Order(this=separator, expressions=order.expressions) if order is not None else separator
    return call("string_agg", value, last)


def bracket(node: Node) -> Node:
    """array[OFFSET(n)] and its kin; a plain [n] counts from 0 too."""
    position = node.expressions[0]
    if node.args.get("offset"):
        position = exp.Paren(this=exp.Sub(this=position, expression=exp.Literal.number(1)))
    return call("bq_safe_offset" if node.args.get("safe") else "bq_offset", node.this, position)


def struct(node: Node) -> Node:
    """STRUCT with names, given or taken from columns."""
    typed = isinstance(node.parent, exp.Cast)
    if not typed and any(not isinstance(part, exp.PropertyEQ | exp.Column) for part in node.expressions):
        raise refused("STRUCT fields without a name")
    return node


def array(node: Node) -> Node:
    """[a, b] and ARRAY(SELECT ...); an empty one without a type is ARRAY<INT64>."""
    if node.expressions or isinstance(node.parent, exp.Cast):
        return node
    return cast(node, "BIGINT[]")


def dot(node: Node) -> Node:
    """A field of a value that is no column."""
    return call("struct_extract", node.this, exp.Literal.string(node.expression.name))


def add_time(node: Node) -> Node:
    """TIMESTAMP_ADD and TIMESTAMP_SUB."""
    by = unit_of(node, UNITS_US, node.sql_name()) * (-1 if isinstance(node, exp.TimestampSub) else 1)
    return call("bq_plus", node.this, cast(node.expression, "BIGINT"), by)


def add_date(node: Node) -> Node:
    """DATE_ADD and DATE_SUB by days and weeks."""
    days = unit_of(node, DATE_UNITS, node.sql_name()) * (-1 if isinstance(node, exp.DateSub) else 1)
    count = exp.Mul(this=cast(node.expression, "INTEGER"), expression=exp.Literal.number(days))
    return exp.Paren(this=exp.Add(this=cast(node.this, "DATE"), expression=exp.Paren(this=count)))


def diff_date(node: Node) -> Node:
    """DATE_DIFF, which counts the boundaries crossed."""
    unit = unit_of(node, {name: name for name in ("DAY", "MONTH", "QUARTER", "YEAR")}, "DATE_DIFF")
    return call("date_diff", exp.Literal.string(unit), cast(node.expression, "DATE"), cast(node.this, "DATE"))


def truncate(node: Node) -> Node:
    """TIMESTAMP_TRUNC and DATE_TRUNC."""
    only_utc(node)
    unit = unit_of(node, TRUNC_UNITS, node.sql_name())
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


def extract_text(node: Node) -> Node:
    """REGEXP_EXTRACT: the group of the pattern, else the whole match; NULL where nothing matches."""
    pattern = node.expression
    if not isinstance(pattern, exp.Literal | exp.RawString) or node.args.get("position"):
        raise refused("REGEXP_EXTRACT with a pattern that is no literal, or with a position")
    groups = len(re.findall(r"(?<!\\)\((?!\?)", re.sub(r"\[(?:\\.|[^\]\\])*\]", "", pattern.name)))
    if groups > 1:
        raise invalid_query("Regular expression passed to REGEXP_EXTRACT must not have more than 1 capturing group")
    return call("bq_extract", node.this, pattern, groups)


def trim(node: Node) -> Node:
    """TRIM, LTRIM and RTRIM: of Unicode's white space unless characters are given."""
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    return call(name, node.this, node.args.get("expression") or exp.Literal.string(WHITESPACE))


def substring(node: Node) -> Node:
    """SUBSTR, counted from 1, or from the end where negative."""
    if node.args.get("length") is not None:
        return call("bq_substr3", node.this, node.args["start"], node.args["length"])
    return call("bq_substr", node.this, node.args["start"])


def join_texts(node: Node) -> Node:
    """ARRAY_TO_STRING without its third argument: nulls are left out."""
    if node.args.get("null"):
        raise refused("ARRAY_TO_STRING with three arguments")
    return call("array_to_string", node.this, node.expression)


def concat_arrays(node: Node) -> Node:
    """ARRAY_CONCAT: NULL where any is."""
    made = node.this
    for other in node.expressions:
        made = call("bq_array_concat", made, other)
    return made


def generate_array(node: Node) -> Node:
    """GENERATE_ARRAY of whole numbers, both ends included."""
    step = [node.args["step"]] if node.args.get("step") else []
    return call("generate_series", node.args["start"], node.args["end"], *step)


def net(node: Node) -> Node:
    """NET.HOST."""
    if not isinstance(node.this, exp.Host):
        raise refused(f"NET.{node.this.sql_name()}")
    return call("bq_host", node.this.this)


def number_function(name: str) -> Callable[[Node], Node]:
    """A function that is FLOAT64 in BigQuery whatever it is given."""

    def rewrite(node: Node) -> Node:
        digits = node.args.get("decimals")
        return call(name, cast(node.this, "DOUBLE"), *([cast(digits, "INTEGER")] if digits is not None else []))

    return rewrite


REWRITES: dict[type[Node], Callable[[Node], Node]] = {
    exp.Literal: literal,
    exp.Cast: cast_node,
    exp.TryCast: cast_node,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), compare),
    exp.In: in_node,
    exp.Between: between,
    exp.Like: like,
    exp.IgnoreNulls: aggregate_array,
    exp.ArrayAgg: lambda node: node if isinstance(node.parent, exp.IgnoreNulls) else aggregate_array(node),
    exp.ArrayConcatAgg: aggregate_array,
    exp.GroupConcat: aggregate_text,
    exp.Bracket: bracket,
    exp.Struct: struct,
    exp.Array: array,
    exp.Dot: dot,
    exp.Div: lambda node: call("bq_divide", node.this, node.expression),
    exp.SafeDivide: lambda node: call("bq_safe_divide", node.this, node.expression),
    exp.TimestampAdd: add_time,
    exp.TimestampSub: add_time,
    exp.TimestampDiff: lambda n: call("bq_diff", n.this, n.expression, unit_of(n, UNITS_US, "TIMESTAMP_DIFF")),
    exp.TimestampTrunc: truncate,
    exp.DateTrunc: truncate,
    exp.DateAdd: add_date,
    exp.DateSub: add_date,
    exp.DateDiff: diff_date,
    exp.UnixToTime: from_unix,
    exp.UnixSeconds: to_unix(1_000_000),
    exp.UnixMillis: to_unix(1000),
    exp.UnixMicros: to_unix(1),
    exp.Extract: extract,
    exp.TimeToStr: format_time,
    exp.StrToTime: format_time,
    exp.StrToDate: format_time,
    exp.Timestamp: timestamp,
    exp.Date: date,
    exp.DateFromParts: lambda n: call("make_date", n.args["year"], n.args["month"], n.args["day"]),
    exp.RegexpExtract: extract_text,
    exp.Trim: trim,
    exp.Substring: substring,
    exp.Length: lambda node: call("bq_length", node.this),
    exp.ByteLength: lambda node: call("octet_length", call("bq_safe_bytes", node.this)),
    exp.ArrayToString: join_texts,
    exp.ArrayConcat: concat_arrays,
    exp.GenerateSeries: generate_array,
    exp.NetFunc: net,
    exp.Host: lambda node: node,
    exp.Round: number_function("round"),
    exp.Floor: number_function("floor"),
    exp.Ceil: number_function("ceil"),
    exp.Trunc: number_function("trunc"),
    exp.Pow: lambda n: call("pow", cast(n.this, "DOUBLE"), cast(n.expression, "DOUBLE")),
    exp.SHA2Digest: lambda node: call("unhex", call("sha256", call("bq_safe_bytes", node.this))),
    exp.MD5Digest: lambda node: call("unhex", call("md5", call("bq_safe_bytes", node.this))),
    exp.MD5: lambda node: call("md5", call("bq_safe_bytes", node.this)),
    exp.LowerHex: lambda node: call("lower", call("hex", node.this)),
    exp.Unhex: lambda node: call("unhex", node.this),
    exp.ByteString: lambda node: call("from_hex", exp.Literal.string(node.name.encode("latin-1").hex())),
    exp.SafeConvertBytesToString: lambda node: call("bq_text", node.this),
}
