"""Parts of a statement, made for DuckDB."""

from typing import Any

from sqlglot import exp

Node = exp.Expr


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
