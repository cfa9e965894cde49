"""BigQuery's casts, comparisons, arrays and text functions, written for DuckDB; children are rewritten already."""

import re
from collections.abc import Callable

from sqlglot import exp

from local.bigquery.errors import invalid_query, refused
from local.bigquery.macros import WHITESPACE
from local.bigquery.nodes import Node, call, cast

CAST_TYPES = {
    "TEXT": ("string", "STRING"),
    "BIGINT": ("int", "INT64"),
    "DOUBLE": ("float", "FLOAT64"),
    "BOOLEAN": ("bool", "BOOL"),
    "TIMESTAMPTZ": ("timestamp", "TIMESTAMP"),
    "DATE": ("date", "DATE"),
    "BINARY": ("bytes", "BYTES"),
}


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


def plain_type(target: Node) -> Node:
    """The type in DuckDB's terms, nested ones too. Refuses what has no column type here."""

    def change(part: Node) -> Node:
        if isinstance(part, exp.DataType) and isinstance(part.this, exp.DType):
            if part.this.name not in CAST_TYPES and part.this.name not in ("ARRAY", "STRUCT"):
                raise refused(f"the type {part.sql('bigquery')}")
            if part.this.name == "TIMESTAMPTZ":
                return exp.DataType.build("TIMESTAMP", dialect="duckdb")
        return part

    return target.transform(change)


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


def count_if(node: Node) -> Node:
    """COUNTIF, which is 0 over no rows where DuckDB's is NULL."""
    if isinstance(node.this, exp.Distinct):
        raise refused("COUNTIF with DISTINCT")
    return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))


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
    made: Node = node.this
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
        raise refused(f"NET.{type(node.this).__name__}")
    return call("bq_host", node.this.this)


def number_function(name: str) -> Callable[[Node], Node]:
    """A function that is FLOAT64 in BigQuery whatever it is given."""

    def rewrite(node: Node) -> Node:
        digits = node.args.get("decimals")
        return call(name, cast(node.this, "DOUBLE"), *([cast(digits, "INTEGER")] if digits is not None else []))

    return rewrite
