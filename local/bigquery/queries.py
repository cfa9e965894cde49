"""Query jobs: SELECT into a kept result, DML and DDL in one transaction with the job's end."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import duckdb
from sqlglot import exp

from local.bigquery import ddl, wire
from local.bigquery.catalog import Catalog, Resource, Store
from local.bigquery.errors import invalid, invalid_query, not_found, refused
from local.bigquery.fields import Field, from_duckdb, quoted
from local.bigquery.nodes import Node
from local.bigquery.statements import Translator, parse

KNOWN = {
    "query", "queryParameters", "parameterMode", "useLegacySql", "useQueryCache", "defaultDataset", "priority",
    "maximumBytesBilled", "createDisposition", "labels",
}  # fmt: skip
DML: dict[type[Node], str] = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}
COUNTS: dict[type[Node], str] = {
    exp.Insert: "insertedRowCount",
    exp.Update: "updatedRowCount",
    exp.Delete: "deletedRowCount",
}
KEPT_RESULTS = 200


class RunningJob(Protocol):
    """What a running job lends to its query: the resource, and a place for the cursor by which it is stopped."""

    body: Resource
    cursor: duckdb.DuckDBPyConnection | None


class Results:
    """The rows of the latest queries, in a file that each start begins anew."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lock = threading.Lock()
        self.kept: OrderedDict[str, tuple[str, list[Field]]] = OrderedDict()
        self.made = 0

    def keep(self, cursor: duckdb.DuckDBPyConnection, key: str, sql: str, fields: list[Field]) -> None:
        """Run the query and keep its rows under the job's key; the oldest result makes room."""
        with self.lock:
            self.made += 1
            table = f'"bigquery:results".main.r{self.made}'
        cursor.execute(f"CREATE TABLE {table} AS {sql}")
        with self.lock:
            self.kept[key] = (table, fields)
            spare = [self.kept.popitem(last=False)[1][0] for _ in range(len(self.kept) - KEPT_RESULTS)]
        for each in spare:
            cursor.execute(f"DROP TABLE {each}")

    def page(self, key: str, asked: Mapping[str, Any]) -> Resource:
        """Schema and one page of rows. Raises BigQueryError 'notFound' where the result is gone."""
        with self.lock:
            table, fields = self.kept.get(key, (None, []))
        if table is None:
            raise not_found("Table", f"of the results of job {key}: kept are the latest {KEPT_RESULTS} since the start")
        cursor = self.store.cursor()
        try:
            return {"schema": {"fields": fields}, **wire.page(cursor, table, fields, asked)}
        finally:
            cursor.close()


def check(config: Resource) -> None:
    """Refuse settings of a query that the stand-in does not have."""
    for name, value in config.items():
        if name not in KNOWN and value not in (None, [], {}, False):
            raise refused(f"queries with {name}")
    if config.get("useLegacySql", True) in (True, "true"):
        raise refused("legacy SQL (useLegacySql)")
    if not config.get("query"):
        raise invalid("Required parameter is missing: query")


def plan(catalog: Catalog, job: Resource) -> Resource:
    """The statistics of a dry run: the statement is checked and its result described, and nothing is done."""
    tree = parse(job["configuration"]["query"]["query"])
    translator = Translator(catalog, job)
    statistics: Resource = {"statementType": statement_type(tree), "totalBytesProcessed": "0"}
    if isinstance(tree, exp.Query):
        _, statistics["schema"] = _describe(catalog, translator, tree)
    elif type(tree) in DML:
        catalog.cursor.execute(f"EXPLAIN {_dml_sql(translator, tree)}")
    return {"query": statistics, "totalBytesProcessed": "0"}


def run(store: Store, results: Results, key: str, job: RunningJob, finish: Callable[[Resource], Resource]) -> None:
    """Do what the statement says; `finish` makes the job's last resource of its statistics."""
    tree = parse(job.body["configuration"]["query"]["query"])
    statistics: Resource = {"statementType": statement_type(tree), "totalBytesProcessed": "0", "cacheHit": False}
    if isinstance(tree, exp.Query):
        with store.read() as catalog:
            job.cursor = catalog.cursor
            sql, schema = _describe(catalog, Translator(catalog, job.body), tree)
            results.keep(catalog.cursor, key, sql, schema["fields"])
        with store.write() as catalog:
            catalog.put("job", key, finish({"query": statistics}))
        return
    with store.write() as catalog:
        job.cursor = catalog.cursor
        translator = Translator(catalog, job.body)
        if type(tree) in DML:
            statistics.update(_change_rows(catalog, translator, tree))
        else:
            ddl.run(catalog, translator, tree)
        catalog.put("job", key, finish({"query": statistics}))


def statement_type(tree: Node) -> str:
    """BigQuery's name of the statement's kind."""
    if isinstance(tree, exp.Query):
        return "SELECT"
    if type(tree) in DML:
        return DML[type(tree)]
    if isinstance(tree, exp.TruncateTable):
        return "TRUNCATE_TABLE"
    name = f"{tree.key.upper()}_{tree.args.get('kind')}"
    return f"{name}_AS_SELECT" if name == "CREATE_TABLE" and tree.expression else name


def _describe(catalog: Catalog, translator: Translator, tree: Node) -> tuple[str, Resource]:
    sql = translator.query(tree)
    described = catalog.cursor.execute(f"SELECT * FROM ({sql}) LIMIT 0").description
    fields = [from_duckdb(column[0], column[1]) for column in described]
    names = [field["name"].lower() for field in fields]
    twice = next((field["name"] for field in fields if names.count(field["name"].lower()) > 1), None)
    if twice is not None:
        raise invalid_query(f"Duplicate column names in the result are not supported. Found duplicate(s): {twice}")
    return sql, {"fields": fields}


def _dml_sql(translator: Translator, tree: Node) -> str:
    if isinstance(tree, exp.Delete) and not tree.this:
        tree = exp.Delete(this=tree.args["tables"][0], where=tree.args.get("where"))
    if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
        raise invalid_query(f"{tree.key.upper()} must have a WHERE clause")
    for when in tree.find_all(exp.When):
        if isinstance(when.args["then"], exp.Insert) and isinstance(when.args["then"].this, exp.Var):
            raise refused("MERGE with INSERT ROW")
    return translator.query(tree)


def _change_rows(catalog: Catalog, translator: Translator, tree: Node) -> Resource:
    name = _target(tree)
    table = translator.table(name)
    if "_rows" not in table:
        raise invalid_query(f"{table['id']} is a view: its rows cannot be changed")
    for field in table["schema"]["fields"]:
        if not isinstance(tree, exp.Delete) and any(c["mode"] == "REQUIRED" for c in field.get("fields", [])):
            raise refused(f"DML on a table with REQUIRED fields in records ({field['name']})")
    try:
        rows = catalog.cursor.execute(_dml_sql(translator, tree)).fetchall()
    except duckdb.ConstraintException as error:
        raise invalid_query(f"Required field cannot be null: {error}") from error
    if not isinstance(tree, exp.Delete):
        _mend_arrays(catalog, table)
    affected = str(rows[0][0])
    statistics: Resource = {"numDmlAffectedRows": affected}
    if type(tree) in COUNTS:
        statistics["dmlStats"] = {COUNTS[type(tree)]: affected}
    return statistics


def _target(tree: Node) -> exp.Table:
    target = tree.this or tree.args["tables"][0]
    found = target.this if isinstance(target, exp.Schema) else target
    if not isinstance(found, exp.Table):
        raise refused(f"{tree.key.upper()} of {found.sql('bigquery')}")
    return found


def _mend_arrays(catalog: Catalog, table: Resource) -> None:
    """A NULL array is stored as an empty one; a NULL in an array is refused."""
    for field in table["schema"]["fields"]:
        if field["mode"] == "REPEATED":
            name = quoted(field["name"])
            catalog.cursor.execute(f"UPDATE {table['_rows']} SET {name} = [] WHERE {name} IS NULL")
            bad = f"SELECT count(*) FROM {table['_rows']} WHERE list_count({name}) < len({name})"
            if catalog.cursor.execute(bad).fetchall()[0][0]:
                raise invalid(f"Array cannot have a null element; error in writing field {field['name']}")
