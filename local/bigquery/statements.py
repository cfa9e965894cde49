"""A statement in BigQuery's SQL, read, checked against what is known, and written for DuckDB."""

import re
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from local.bigquery.catalog import Catalog, Resource
from local.bigquery.errors import invalid_query, not_found, refused
from local.bigquery.functions import PLAIN, REWRITES
from local.bigquery.nodes import Node, cast
from local.bigquery.parameters import Parameters

STATEMENTS = (
    exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.TruncateTable, exp.Alter,
)  # fmt: skip
OF_TABLES = {exp.Table, exp.Unnest, exp.CurrentTimestamp, exp.CurrentDate, exp.Parameter, exp.Tuple}
OF_DML = {
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Whens,
    exp.When,
    exp.Values,
    exp.Schema,
}
KNOWN = PLAIN | set(REWRITES) | OF_TABLES | OF_DML
MAX_VIEW_DEPTH = 16


def parse(text: str) -> Node:
    """The one statement in `text`. Raises BigQueryError 'invalidQuery' where it cannot be read or is a script."""
    try:
        found = [each for each in sqlglot.parse(_number_marks(text), dialect="bigquery") if each is not None]
    except SqlglotError as error:
        raise invalid_query(f"Syntax error: {re.sub(chr(27) + r'[[0-9;]*m', '', str(error))}") from error
    if len(found) != 1:
        raise refused("scripts of several statements" if found else "an empty statement")
    if not isinstance(found[0], STATEMENTS):
        raise refused(f"the statement {text.split(maxsplit=1)[0].upper()}")
    return found[0]


def _number_marks(text: str) -> str:
    """Each ? by its place in the text, as @1, @2, ...: a tree does not keep that order."""
    marks = [
        token
        for token in sqlglot.tokenize(text, dialect="bigquery")
        if token.token_type == sqlglot.TokenType.PLACEHOLDER
    ]
    for number, mark in reversed(list(enumerate(marks, 1))):
        text = f"{text[: mark.start]}@_{number}{text[mark.end + 1 :]}"
    return text


def check(tree: Node) -> None:
    """Refuse, by name, every part that is not known to mean the same on DuckDB."""
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            raise refused(f"the function {node.name.upper()}")
        if type(node) not in KNOWN:
            raise refused(node.sql_name() if isinstance(node, exp.Func) else type(node).__name__.upper())
        if isinstance(node, exp.With) and node.args.get("recursive"):
            raise refused("WITH RECURSIVE")
        if isinstance(node, exp.Select) and node.args.get("kind") == "VALUE":
            raise refused("SELECT AS VALUE")
        if isinstance(node, exp.Tuple) and not isinstance(node.parent, exp.In | exp.Tuple | exp.Values | exp.Insert):
            raise refused("STRUCT fields without a name")
        if isinstance(node, exp.Union | exp.Except | exp.Intersect) and node.args.get("by_name"):
            raise refused("set operations BY NAME")


class Translator:
    """Writes statements of one job for DuckDB: names looked up in `catalog`, parameters and the time put in."""

    def __init__(self, catalog: Catalog, job: Resource) -> None:
        query = job["configuration"]["query"]
        self.catalog = catalog
        self.project = job["jobReference"]["projectId"]
        self.location = job["jobReference"].get("location")
        self.default: Resource = query.get("defaultDataset") or {}
        self.now_us = int(job["statistics"]["creationTime"]) * 1000
        self.parameters = Parameters(query)
        self.unnested = 0

    def query(self, tree: Node) -> str:
        """A query or DML statement as text for DuckDB."""
        check(tree)
        if isinstance(tree, exp.Query):
            name_columns(tree)
        return self.rewrite(tree, depth=0).sql(dialect="duckdb", identify=True)

    def rewrite(self, tree: Node, *, depth: int) -> Node:
        """The tree for DuckDB; `depth` counts the views that lead here."""
        for select in tree.find_all(exp.Select):
            group_by_position(select)
        return self._rewrite(tree, depth)

    def key_of(self, table: exp.Table) -> str:
        """project.dataset.table of a name in a statement."""
        dataset = table.db or self.default.get("datasetId")
        if not dataset:
            raise invalid_query(f'Table "{table.name}" must be qualified with a dataset (e.g. dataset.table).')
        project = table.catalog or (self.project if table.db else self.default.get("projectId", self.project))
        return f"{project}.{dataset}.{table.name}"

    def table(self, table: exp.Table) -> Resource:
        """The resource that a name in a statement stands for. Raises BigQueryError 'notFound'."""
        key = self.key_of(table)
        dataset = self.catalog.get("dataset", key.rpartition(".")[0] if "." in key else key)
        if self.location and dataset["location"].lower() != self.location.lower():
            raise not_found("Dataset", f"{dataset['id']} was not found in location {self.location}")
        return self.catalog.get("table", key)

    def _rewrite(self, node: Node, depth: int) -> Node:
        if isinstance(node, exp.Table):
            return self._table(node, depth)
        for child in list(node.iter_expressions()):
            new = self._rewrite(child, depth)
            if new is not child:
                child.replace(new)
        special: dict[type[Node], Callable[[Node], Node]] = {
            exp.Unnest: self._unnest,
            exp.Parameter: lambda each: self.parameters.named(each.name),
            exp.CurrentTimestamp: lambda _: self._now(),
            exp.CurrentDate: lambda _: cast(self._now(), "DATE"),
            exp.Join: self._join,
        }
        change = special.get(type(node)) or REWRITES.get(type(node))
        return change(node) if change else node

    def _now(self) -> Node:
        return exp.Anonymous(this="make_timestamp", expressions=[cast(exp.Literal.number(self.now_us), "BIGINT")])

    def _table(self, node: exp.Table, depth: int) -> Node:
        extra = [name for name, value in node.args.items() if value and name not in ("this", "db", "catalog", "alias")]
        if extra or not isinstance(node.this, exp.Identifier):
            raise refused(f"{', '.join(extra) or node.sql('bigquery')} in FROM")
        if not node.db and node.name.lower() in ctes_in_scope(node):
            return node
        alias = node.alias or node.name
        if node.name.upper().startswith("INFORMATION_SCHEMA."):
            return self._information_schema(node, alias.rsplit(".", 1)[-1])
        found = self.table(node)
        if "_rows" in found:
            schema, name = found["_rows"].split(".")
            return exp.alias_(exp.table_(name, db=schema), alias, table=True)
        return self._view(found, alias, depth)

    def _view(self, view: Resource, alias: str, depth: int) -> Node:
        if depth >= MAX_VIEW_DEPTH:
            raise invalid_query(f"View {view['id']}: too many nested views, or one that leads to itself")
        tree = parse(view["view"]["query"])
        check(tree)
        inner = Translator(self.catalog, view_job(view, self))
        return exp.alias_(exp.Subquery(this=inner.rewrite(tree, depth=depth + 1)), alias, table=True)

    def _information_schema(self, node: exp.Table, alias: str) -> Node:
        if node.name.upper() != "INFORMATION_SCHEMA.TABLES" or not node.db:
            raise refused(node.name.upper())
        dataset = self.catalog.get("dataset", f"{node.catalog or self.project}.{node.db}")
        reference = dataset["datasetReference"]
        rows = [
            f"SELECT {_text(reference['projectId'])}, {_text(reference['datasetId'])}, "
            f"{_text(table['tableReference']['tableId'])}, '{'VIEW' if 'view' in table else 'BASE TABLE'}', "
            f"make_timestamp({table['creationTime']}000::BIGINT)"
            for table in self.catalog.under("table", f"{reference['projectId']}.{reference['datasetId']}")
        ] or ["SELECT '', '', '', '', make_timestamp(0::BIGINT) WHERE false"]
        names = "table_catalog, table_schema, table_name, table_type, creation_time"
        text = f"SELECT * FROM ({' UNION ALL '.join(rows)}) AS listed({names})"
        return exp.alias_(exp.Subquery(this=sqlglot.parse_one(text, dialect="duckdb")), alias, table=True)

    def _unnest(self, node: Node) -> Node:
        """UNNEST as a lateral query: elements in order, offsets from 0."""
        if isinstance(node.parent, exp.In):
            return node
        if len(node.expressions) != 1:
            raise refused("UNNEST of several arrays")
        self.unnested += 1
        alias = node.args.get("alias")
        element = alias.columns[0].name if alias is not None and alias.columns else f"_element{self.unnested}"
        values = node.expressions[0]
        chosen = [exp.alias_(exp.Anonymous(this="unnest", expressions=[values]), element, quoted=True)]
        if node.args.get("offset"):
            offset = node.args["offset"]
            name = offset.name if isinstance(offset, exp.Expr) else "offset"
            number = exp.Anonymous(this="generate_subscripts", expressions=[values.copy(), exp.Literal.number(1)])
            chosen.append(exp.alias_(exp.Sub(this=number, expression=exp.Literal.number(1)), name, quoted=True))
        query = exp.Subquery(this=exp.Select(expressions=chosen))
        label = exp.TableAlias(this=exp.to_identifier(f"_unnest{self.unnested}"))
        if isinstance(node.parent, exp.Join):
            return exp.Lateral(this=query, alias=label)
        query.set("alias", label)
        return query

    def _join(self, node: Node) -> Node:
        """LEFT JOIN UNNEST needs no condition in BigQuery."""
        if isinstance(node.this, exp.Lateral) and node.args.get("side") and not node.args.get("on"):
            node.set("on", exp.true())
        return node


def view_job(view: Resource, outer: Translator) -> Resource:
    """What a view's text is read as: a query of the view's project, without parameters."""
    reference = {"projectId": view["tableReference"]["projectId"], "location": outer.location}
    created = {"creationTime": str(outer.now_us // 1000)}
    return {"jobReference": reference, "configuration": {"query": {}}, "statistics": created}


def ctes_in_scope(node: Node) -> set[str]:
    """Names of WITH queries that the node can see, in lower case."""
    names: set[str] = set()
    parent = node.parent
    while parent is not None:
        found = parent.args.get("with_")
        names.update(cte.alias.lower() for cte in (found.expressions if found else []))
        parent = parent.parent
    return names


def name_columns(tree: Node) -> None:
    """Columns of the result without a name are f0_, f1_, ... in BigQuery. A name given twice is refused."""
    select = tree
    while not isinstance(select, exp.Select):
        select = select.this
    number, names = 0, []
    for column in list(select.expressions):
        if isinstance(column, exp.Alias | exp.Column | exp.Star | exp.Dot):
            if isinstance(column, exp.Dot):
                column.replace(exp.alias_(column.copy(), column.name, quoted=True))
            names.append(column.alias_or_name.lower())
            continue
        column.replace(exp.alias_(column.copy(), f"f{number}_", quoted=True))
        number += 1
    twice = next((name for name in names if name != "*" and names.count(name) > 1), None)
    if twice is not None:
        raise invalid_query(f"Duplicate column names in the result are not supported. Found duplicate(s): {twice}")


def group_by_position(select: Node) -> None:
    """GROUP BY of an alias means the column of that alias; DuckDB would prefer a table's column of that name."""
    group = select.args.get("group")
    aliases = {each.alias.lower(): index for index, each in enumerate(select.expressions, 1) if _renames(each)}
    for column in list(group.expressions) if group else []:
        if not isinstance(column, exp.Column) or column.table or column.name.lower() not in aliases:
            continue
        position = aliases[column.name.lower()]
        named = {each.name.lower() for each in select.expressions[position - 1].find_all(exp.Column)}
        if column.name.lower() in named:
            raise refused(f"GROUP BY {column.name}, which is both a column and an alias of another expression")
        column.replace(exp.Literal.number(position))


def _renames(column: Node) -> bool:
    same = isinstance(column, exp.Alias) and isinstance(column.this, exp.Column) and column.this.name == column.alias
    return isinstance(column, exp.Alias) and not same


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"
