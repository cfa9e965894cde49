"""Which parts of BigQuery's SQL are known to be right on DuckDB, and how those are written that differ.

What stands neither in PLAIN nor in REWRITES is refused by its name.
"""

from collections.abc import Callable

from sqlglot import exp

from local.bigquery import times, values
from local.bigquery.nodes import Node, call, cast

SAME = """
    Select From Join Where Group Having Qualify Order Ordered Limit Offset With CTE Subquery Union Except Intersect
    Alias Column Identifier Star TableAlias Paren And Or Not Is Null Boolean Exists Case If Coalesce Nullif
    Add Sub Mul Mod IntDiv Neg Distinct Window WindowSpec Var PropertyEQ DataType DataTypeParam ColumnDef
    Count Sum Avg Min Max AnyValue LogicalOr LogicalAnd
    RowNumber Rank DenseRank Ntile Lag Lead FirstValue LastValue NthValue RespectNulls
    Lower Upper StartsWith EndsWith Concat DPipe Abs Sqrt Ln Greatest Least StrPosition Replace Reverse IsNan
    RegexpLike RawString NullSafeEQ NullSafeNEQ ToBase64 Split RegexpReplace
    ArraySize ArrayReverse TsOrDsToTimestamp TsOrDsToDate
"""
PLAIN: frozenset[type[Node]] = frozenset(getattr(exp, name) for name in SAME.split())


REWRITES: dict[type[Node], Callable[[Node], Node]] = {
    exp.Literal: values.literal,
    exp.Cast: values.cast_node,
    exp.TryCast: values.cast_node,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), values.compare),
    exp.In: values.in_node,
    exp.Between: values.between,
    exp.Like: values.like,
    exp.IgnoreNulls: values.aggregate_array,
    exp.ArrayAgg: lambda node: node if isinstance(node.parent, exp.IgnoreNulls) else values.aggregate_array(node),
    exp.ArrayConcatAgg: values.aggregate_array,
    exp.GroupConcat: values.aggregate_text,
    exp.CountIf: values.count_if,
    exp.Bracket: values.bracket,
    exp.Struct: values.struct,
    exp.Array: values.array,
    exp.Dot: values.dot,
    exp.Div: lambda node: call("bq_divide", node.this, node.expression),
    exp.SafeDivide: lambda node: call("bq_safe_divide", node.this, node.expression),
    exp.TimestampAdd: times.add_time,
    exp.TimestampSub: times.add_time,
    exp.TimestampDiff: lambda n: call(
        "bq_diff", n.this, n.expression, times.unit_of(n, times.UNITS_US, "TIMESTAMP_DIFF")
    ),
    exp.TimestampTrunc: times.truncate,
    exp.DateTrunc: times.truncate,
    exp.DateAdd: times.add_date,
    exp.DateSub: times.add_date,
    exp.DateDiff: times.diff_date,
    exp.UnixToTime: times.from_unix,
    exp.UnixSeconds: times.to_unix(1_000_000),
    exp.UnixMillis: times.to_unix(1000),
    exp.UnixMicros: times.to_unix(1),
    exp.Extract: times.extract,
    exp.TimeToStr: times.format_time,
    exp.StrToTime: times.format_time,
    exp.StrToDate: times.format_time,
    exp.Timestamp: times.timestamp,
    exp.Date: times.date,
    exp.DateFromParts: lambda n: call("make_date", n.args["year"], n.args["month"], n.args["day"]),
    exp.RegexpExtract: values.extract_text,
    exp.Trim: values.trim,
    exp.Substring: values.substring,
    exp.Length: lambda node: call("bq_length", node.this),
    exp.ByteLength: lambda node: call("octet_length", call("bq_safe_bytes", node.this)),
    exp.ArrayToString: values.join_texts,
    exp.ArrayConcat: values.concat_arrays,
    exp.GenerateSeries: values.generate_array,
    exp.NetFunc: values.net,
    exp.Host: lambda node: node,
    exp.Round: values.number_function("round"),
    exp.Floor: values.number_function("floor"),
    exp.Ceil: values.number_function("ceil"),
    exp.Trunc: values.number_function("trunc"),
    exp.Pow: lambda n: call("pow", cast(n.this, "DOUBLE"), cast(n.expression, "DOUBLE")),
    exp.SHA2Digest: lambda node: call("unhex", call("sha256", call("bq_safe_bytes", node.this))),
    exp.MD5Digest: lambda node: call("unhex", call("md5", call("bq_safe_bytes", node.this))),
    exp.MD5: lambda node: call("md5", call("bq_safe_bytes", node.this)),
    exp.LowerHex: lambda node: call("lower", call("hex", node.this)),
    exp.Unhex: lambda node: call("unhex", node.this),
    exp.ByteString: lambda node: call("from_hex", exp.Literal.string(node.name.encode("latin-1").hex())),
    exp.SafeConvertBytesToString: lambda node: call("bq_text", node.this),
}
