"""BigQuery's SQL with its own results: expressions, aggregates, arrays, windows, DML, DDL; the rest is refused."""

from datetime import date, datetime, timezone
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.conformance.conftest import Warehouse

pytestmark = pytest.mark.stack


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


# Expression and the value that BigQuery's reference gives it, or that follows from its wording.
VALUES: list[tuple[str, Any]] = [
    ("1 / 2", 0.5),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("2000000000 + 2000000000", 4000000000),
    ("DIV(-7, 2)", -3),
    ("MOD(-7, 2)", -1),
    ("SAFE_DIVIDE(1, 0)", None),
    ("CAST(2.5 AS INT64)", 3),
    ("CAST(-2.5 AS INT64)", -3),
    ("ROUND(2.5)", 3.0),
    ("SAFE_CAST('12' AS INT64)", 12),
    ("SAFE_CAST('1.5' AS INT64)", None),
    ("SAFE_CAST('yes' AS BOOL)", None),
    ("SAFE_CAST('x' AS TIMESTAMP)", None),
    ("CAST(TRUE AS STRING)", "true"),
    ("CAST(TIMESTAMP '2024-01-01 00:00:00.12' AS STRING)", "2024-01-01 00:00:00.120+00"),
    ("IF(NULL, 1, 2)", 2),
    ("IFNULL(NULL, 'x')", "x"),
    ("NULLIF(1, 1)", None),
    ("COALESCE(NULL, NULL, 3)", 3),
    ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END", "b"),
    ("GREATEST(1, NULL, 3)", None),
    ("NULL IN (1, 2)", None),
    ("3 IN UNNEST([1, 2])", False),
    ("3 IN UNNEST([1, NULL])", None),
    ("'a%b' LIKE 'a\\\\%b'", True),
    ("'axb' LIKE 'a\\\\%b'", False),
    # text
    ("CONCAT('a', NULL)", None),
    ("STARTS_WITH('abc', 'ab')", True),
    ("SPLIT('a,b,,c')", ["a", "b", "", "c"]),
    ("SPLIT('a/b', '/')[OFFSET(1)]", "b"),
    ("SPLIT('a/b', '/')[SAFE_OFFSET(2)]", None),
    ("REGEXP_EXTRACT('user@host.com', r'@([a-z]+)')", "host"),
    ("REGEXP_EXTRACT('abc', r'b.')", "bc"),
    ("REGEXP_EXTRACT('abc', r'z')", None),
    ("REGEXP_CONTAINS('abc', r'^b')", False),
    ("REGEXP_REPLACE('aaa', r'a', 'b')", "bbb"),
    ("SUBSTR('apple', 2, 2)", "pp"),
    ("SUBSTR('apple', -2)", "le"),
    ("SUBSTR('apple', 0, 1)", "a"),
    ("LENGTH('ä')", 1),
    ("BYTE_LENGTH('ä')", 2),
    ("LENGTH(b'ab')", 2),
    ("TRIM('\\t a \\n')", "a"),
    ("LOWER('ABC')", "abc"),
    ("STRPOS('abc', 'c')", 3),
    ("REPLACE('abc', 'b', 'x')", "axc"),
    ("TO_HEX(SHA256('abc'))", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("TO_HEX(MD5('abc'))", "900150983cd24fb0d6963f7d28e17f72"),
    ("SAFE_CONVERT_BYTES_TO_STRING(b'abc')", "abc"),
    ("NET.HOST('https://user:pw@Sub.Example.com:80/path?q')", "Sub.Example.com"),
    ("NET.HOST('//a.b:80')", "a.b"),
    ("NET.HOST('    www.Example.Co.UK    ')", "www.Example.Co.UK"),
    ("NET.HOST('https://[::1]:80')", "[::1]"),
    ("NET.HOST('')", None),
    # time
    ("TIMESTAMP_DIFF(TIMESTAMP '2018-08-14', TIMESTAMP '2018-10-14', DAY)", -61),
    ("TIMESTAMP_DIFF(TIMESTAMP '2001-02-01 01:00:00', TIMESTAMP '2001-02-01 00:00:01', HOUR)", 0),
    ("TIMESTAMP_DIFF(TIMESTAMP '2024-01-01 00:30:00', TIMESTAMP '2024-01-01 00:00:00.001', MILLISECOND)", 1799999),
    ("TIMESTAMP_ADD(TIMESTAMP '2024-02-28', INTERVAL 1 DAY)", at("2024-02-29")),
    ("TIMESTAMP_SUB(TIMESTAMP '2024-01-01', INTERVAL 90 MINUTE)", at("2023-12-31T22:30:00")),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2024-05-15 10:45:30', HOUR)", at("2024-05-15T10:00:00")),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2024-05-15 10:45:30', MONTH, 'UTC')", at("2024-05-01")),
    ("TIMESTAMP_SECONDS(1230219000)", at("2008-12-25T15:30:00")),
    ("TIMESTAMP_MILLIS(1230219000123)", at("2008-12-25T15:30:00.123000")),
    ("UNIX_SECONDS(TIMESTAMP '1970-01-01 00:00:01.8')", 1),
    ("UNIX_SECONDS(TIMESTAMP '1969-12-31 23:59:59.5')", -1),
    ("UNIX_MILLIS(TIMESTAMP '2008-12-25 15:30:00')", 1230219000000),
    ("UNIX_MICROS(TIMESTAMP '2008-12-25 15:30:00')", 1230219000000000),
    ("DATE(TIMESTAMP '2024-01-01 23:59:59.999999')", date(2024, 1, 1)),
    ("DATE_DIFF(DATE '2024-03-01', DATE '2024-02-01', DAY)", 29),
    ("DATE_ADD(DATE '2024-02-28', INTERVAL 2 DAY)", date(2024, 3, 1)),
    ("TIMESTAMP('2024-01-01T01:02:03Z')", at("2024-01-01T01:02:03")),
    ("FORMAT_TIMESTAMP('%Y-%m-%d %H:%M:%S', TIMESTAMP '2024-01-02 03:04:05')", "2024-01-02 03:04:05"),
    ("FORMAT_TIMESTAMP('%F %T', TIMESTAMP '2024-01-02 03:04:05', 'UTC')", "2024-01-02 03:04:05"),
    ("FORMAT_DATE('%Y%m', DATE '2024-01-02')", "202401"),
    ("EXTRACT(DAYOFWEEK FROM TIMESTAMP '2024-01-07')", 1),
    ("EXTRACT(HOUR FROM TIMESTAMP '2024-01-07 13:00:00')", 13),
    ("EXTRACT(DATE FROM TIMESTAMP '2024-01-07 13:00:00')", date(2024, 1, 7)),
    # arrays and structs
    ("ARRAY_LENGTH([1, 2])", 2),
    ("[10, 20][OFFSET(0)]", 10),
    ("[10, 20][SAFE_OFFSET(-1)]", None),
    ("[10, 20][ORDINAL(1)]", 10),
    ("ARRAY_CONCAT([1], [2, 3])", [1, 2, 3]),
    ("ARRAY_TO_STRING(['a', NULL, 'b'], ',')", "a,b"),
    ("ARRAY_REVERSE([1, 2])", [2, 1]),
    ("ARRAY(SELECT x * i FROM UNNEST([5, 6]) AS x WITH OFFSET AS i ORDER BY i DESC)", [6, 0]),
    ("(SELECT COUNT(*) FROM UNNEST(['a', 'b']) AS x WHERE x > 'a')", 1),
    ("EXISTS(SELECT 1 FROM UNNEST([1]) AS x WHERE x = 2)", False),
    ("STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
    ("STRUCT([1, 2] AS a).a[OFFSET(1)]", 2),
    ("ARRAY(SELECT AS STRUCT x AS v FROM UNNEST([1]) AS x)", [{"v": 1}]),
]


@pytest.mark.parametrize(("expression", "expected"), VALUES, ids=[expression for expression, _ in VALUES])
def test_expressions_have_bigquerys_values(warehouse_of_module: Warehouse, expression: str, expected: Any) -> None:
    found = warehouse_of_module.value(expression)
    assert (found, type(found)) == (expected, type(expected))


INSERT = """
INSERT INTO `{name}` (who, at, n, tags) VALUES
  ('a', TIMESTAMP '2024-01-01 10:00:00', 1, ['x', 'y']), ('a', TIMESTAMP '2024-01-01 10:20:00', 2, ['z']),
  ('b', TIMESTAMP '2024-01-02 09:00:00', 3, []), ('b', TIMESTAMP '2024-01-02 08:00:00', NULL, ['x'])
"""

QUERIES = [
    ("SELECT who, COUNT(*), SUM(n), COUNT(DISTINCT n), COUNTIF(n > 1) FROM {d}.hits GROUP BY 1 ORDER BY who",
     [("a", 2, 3, 2, 1), ("b", 2, 3, 1, 1)]),
    ("SELECT COUNTIF(n > 1), COUNT(n), LOGICAL_OR(n > 1) FROM {d}.hits WHERE FALSE", [(0, 0, None)]),
    ("SELECT n, COUNTIF(n > 1) OVER (ORDER BY n) FROM {d}.hits WHERE n > 0 ORDER BY n", [(1, 0), (2, 1), (3, 2)]),
    ("SELECT DATE(at) AS day, COUNT(*) FROM {d}.hits GROUP BY day HAVING COUNT(*) > 1 ORDER BY day DESC LIMIT 1",
     [(date(2024, 1, 2), 2)]),
    ("SELECT LOGICAL_OR(n > 2), LOGICAL_AND(n > 0), MIN(n), MAX(n), AVG(n) FROM {d}.hits", [(True, True, 1, 3, 2.0)]),
    ("SELECT n FROM {d}.hits ORDER BY n", [(None,), (1,), (2,), (3,)]),
    ("SELECT n FROM {d}.hits ORDER BY n DESC", [(3,), (2,), (1,), (None,)]),
    ("SELECT who, tag, i FROM {d}.hits AS h, UNNEST(h.tags) AS tag WITH OFFSET AS i WHERE n = 1 ORDER BY i",
     [("a", "x", 0), ("a", "y", 1)]),
    ("SELECT n, tag FROM {d}.hits LEFT JOIN UNNEST(tags) AS tag WHERE who = 'b' ORDER BY n", [(None, "x"), (3, None)]),
    ("SELECT ARRAY_AGG(n IGNORE NULLS ORDER BY at DESC LIMIT 2) FROM {d}.hits", [([3, 2],)]),
    ("SELECT who, ARRAY_CONCAT_AGG(tags ORDER BY at) FROM {d}.hits GROUP BY who ORDER BY 1",
     [("a", ["x", "y", "z"]), ("b", ["x"])]),
    ("SELECT STRING_AGG(who, '-' ORDER BY at, n) FROM {d}.hits", [("a-a-b-b",)]),
    ("SELECT n, LAG(n) OVER w, SUM(n) OVER w, ROW_NUMBER() OVER w FROM {d}.hits WINDOW w AS (ORDER BY at) ORDER BY at",
     [(1, None, 1, 1), (2, 1, 3, 2), (None, 2, 3, 3), (3, None, 6, 4)]),
    ("SELECT FIRST_VALUE(n IGNORE NULLS) OVER (PARTITION BY who ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND "
     "UNBOUNDED FOLLOWING) AS first FROM {d}.hits WHERE who = 'b'", [(3,), (3,)]),
    ("SELECT who, n FROM {d}.hits WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY who ORDER BY at DESC) = 1 "
     "ORDER BY who", [("a", 2), ("b", 3)]),
    ("SELECT who, l.n AS a, r.n AS b FROM (SELECT who, n FROM {d}.hits WHERE n < 3) AS l FULL JOIN "
     "(SELECT who, n FROM {d}.hits WHERE n > 2) AS r USING (who) ORDER BY who, a",
     [("a", 1, None), ("a", 2, None), ("b", None, 3)]),
    ("SELECT n FROM {d}.hits WHERE n > 0 AND at NOT IN (SELECT at FROM {d}.hits WHERE who = 'a') ORDER BY n", [(3,)]),
    ("SELECT STRING_AGG(who, '' ORDER BY at DESC, n) FROM {d}.hits", [("bbaa",)]),
    ("SELECT STRING_AGG(who, '' ORDER BY at) FROM {d}.hits WHERE FALSE", [(None,)]),
    ("SELECT ARRAY_TO_STRING(ARRAY(SELECT CONCAT(CAST(BYTE_LENGTH(tag) AS STRING), ':', tag) FROM UNNEST(tags) AS tag "
     "WITH OFFSET AS i ORDER BY i), ',') FROM {d}.hits ORDER BY at", [("1:x,1:y",), ("1:z",), ("1:x",), ("",)]),
    ("SELECT who, ARRAY_AGG(STRUCT(n, tags) ORDER BY at) AS both FROM {d}.hits GROUP BY who ORDER BY who",
     [("a", [{"n": 1, "tags": ["x", "y"]}, {"n": 2, "tags": ["z"]}]),
      ("b", [{"n": None, "tags": ["x"]}, {"n": 3, "tags": []}])]),
    ("SELECT who, ARRAY_AGG(IF(n > 5 OR who = 'b', STRUCT(n AS number), NULL) IGNORE NULLS ORDER BY at LIMIT 1)"
     "[SAFE_OFFSET(0)].number AS first FROM {d}.hits GROUP BY who ORDER BY who", [("a", None), ("b", None)]),
    ("SELECT tags[SAFE_OFFSET(i)] AS tag, at FROM {d}.hits AS h CROSS JOIN UNNEST(h.tags) AS other WITH OFFSET AS i "
     "WHERE who = 'b'", [("x", at("2024-01-02T08:00:00"))]),
    ("SELECT who, TO_HEX(SHA256(text)) AS digest FROM (SELECT DISTINCT who, CONCAT(who, 'ä') AS text FROM {d}.hits) "
     "WHERE who = 'a'", [("a", "a8cfaba558f062438616f22db36b78b219373c2596beb14e58e4278780d2f788")]),
    ("WITH seen AS (SELECT DISTINCT who FROM {d}.hits WHERE n = 1) SELECT h.n FROM {d}.hits AS h "
     "LEFT JOIN seen USING (who) WHERE seen.who IS NULL ORDER BY n", [(None,), (3,)]),
    ("WITH spans AS (SELECT who, at AS start FROM {d}.hits WHERE n = 1) SELECT h.who, h.n FROM {d}.hits AS h "
     "LEFT JOIN spans ON h.who = spans.who AND h.at >= spans.start AND h.at < TIMESTAMP_ADD(spans.start, INTERVAL "
     "20 MINUTE) WHERE spans.who IS NULL ORDER BY n", [("b", None), ("a", 2), ("b", 3)]),
    ("WITH chosen AS (SELECT * FROM {d}.hits WHERE n > 1) SELECT tags, TRUE AS whole FROM {d}.hits WHERE n = 1 UNION "
     "ALL SELECT tags, FALSE AS whole FROM (WITH inner_one AS (SELECT * FROM chosen) SELECT ARRAY_AGG(who ORDER BY at) "
     "AS tags FROM inner_one GROUP BY n) ORDER BY whole DESC, tags[OFFSET(0)]",
     [(["x", "y"], True), (["a"], False), (["b"], False)]),
    ("SELECT * EXCEPT (tags, at) FROM {d}.hits WHERE n IN (SELECT MAX(n) FROM {d}.hits)", [("b", 3)]),
    ("SELECT (SELECT COUNT(*) FROM UNNEST(tags)) AS c FROM {d}.hits ORDER BY c", [(0,), (1,), (1,), (2,)]),
    ("SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 2 ORDER BY 1", [(1,), (1,), (2,)]),
    ("SELECT at FROM {d}.hits WHERE at >= '2024-01-02' AND at < TIMESTAMP '2024-01-02 09:00:00'",
     [(at("2024-01-02T08:00:00"),)]),
    ("SELECT ANY_VALUE(who), COUNT(*) FROM {d}.hits WHERE n BETWEEN 1 AND 2", [("a", 2)]),
]  # fmt: skip


@pytest.fixture(scope="module")
def hits(warehouse_of_module: Warehouse) -> Warehouse:
    name = warehouse_of_module.table("who STRING, at TIMESTAMP, n INT64, tags ARRAY<STRING>", "hits")
    warehouse_of_module.client.query_and_wait(INSERT.format(name=name))
    return warehouse_of_module


@pytest.mark.parametrize(("sql", "expected"), QUERIES, ids=[sql for sql, _ in QUERIES])
def test_queries_have_bigquerys_rows(hits: Warehouse, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert hits.rows(sql) == expected


REFUSED = [
    "SELECT APPROX_COUNT_DISTINCT(n) FROM {d}.hits",
    "SELECT FORMAT('%d', 1)",
    "SELECT PERCENTILE_CONT(n, 0.5) OVER () FROM {d}.hits",
    "SELECT CAST('1.5' AS NUMERIC)",
    "SELECT DATETIME '2024-01-01'",
    "SELECT TIMESTAMP_TRUNC(at, WEEK) FROM {d}.hits",
    "SELECT FORMAT_TIMESTAMP('%T', at, 'Europe/Berlin') FROM {d}.hits",
    "SELECT CONTAINS_SUBSTR('abc', 'b')",
    "SELECT * FROM {d}.hits TABLESAMPLE SYSTEM (10 PERCENT)",
    "SELECT DATE(at) AS at, COUNT(*) FROM {d}.hits GROUP BY at",
    "SELECT who FROM {d}.hits GROUP BY ROLLUP(who)",
    "SELECT COUNTIF(DISTINCT n > 1) FROM {d}.hits",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r",
    "SELECT 1; SELECT 2",
    "SELECT JSON_VALUE('{}', '$.a')",
    "SELECT who FROM {d}.INFORMATION_SCHEMA.COLUMNS",
    "EXPORT DATA OPTIONS(uri = 'gs://b/*', format = 'CSV') AS SELECT 1",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_known_to_be_right_is_refused_by_name(hits: Warehouse, stand_in_only: Any, sql: str) -> None:
    with pytest.raises(BadRequest, match="BigQuery stand-in does not support"):
        hits.rows(sql)


WRONG = [
    ("SELEC 1", "Syntax error"),
    ("SELECT nothing FROM {d}.hits", "nothing"),
    ("SELECT 1 / 0", "division by zero"),
    ("SELECT [1][OFFSET(1)]", "out of bounds"),
    ("SELECT CAST('x' AS INT64)", "Bad"),
    ("SELECT 1 AS a, 2 AS a", "Duplicate column names"),
    ("SELECT who FROM {d}.hits WHERE who = 1", "No matching signature"),
    ("SELECT * FROM hits_without_dataset", "must be qualified with a dataset"),
    ("SELECT 9223372036854775807 + 1", "(?i)overflow"),
    ("UPDATE {d}.hits SET n = 1", "WHERE"),
    ("SELECT @missing", "missing"),
]


@pytest.mark.parametrize(("sql", "message"), WRONG, ids=[sql for sql, _ in WRONG])
def test_wrong_statements_are_a_bad_request(hits: Warehouse, sql: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        hits.rows(sql)


def test_a_missing_table_is_not_found(hits: Warehouse) -> None:
    with pytest.raises(NotFound):
        hits.rows("SELECT 1 FROM {d}.missing")


def test_names_are_written_in_every_way_of_bigquery(hits: Warehouse) -> None:
    project = hits.client.project
    for name in (
        f"`{project}.{{d}}.hits`",
        f"`{project}`.{{d}}.hits",
        f"{project}.{{d}}.hits",
        "`{d}.hits`",
        "{d}.hits",
    ):
        assert hits.rows(f"SELECT COUNT(hits.who) FROM {name}") == [(4,)]


def test_parameters_of_every_kind_reach_the_query(warehouse_of_module: Warehouse) -> None:
    struct = bigquery.StructQueryParameter("s", bigquery.ScalarQueryParameter("a", "INT64", 7))
    parameters = [
        bigquery.ScalarQueryParameter("t", "STRING", "it's"),
        bigquery.ScalarQueryParameter("at", "TIMESTAMP", at("2024-01-01T00:00:00.000001")),
        bigquery.ScalarQueryParameter("none", "INT64", None),
        bigquery.ArrayQueryParameter("many", "STRING", ["a", "b"]),
        bigquery.ScalarQueryParameter("raw", "BYTES", b"\x00\x01"),
        bigquery.ScalarQueryParameter("day", "DATE", date(2024, 1, 2)),
        bigquery.ScalarQueryParameter("f", "FLOAT64", 0.1),
        struct,
    ]
    found = warehouse_of_module.rows(
        "SELECT @t, @at, @none, @many, @raw, @day, @f, @s.a, 'b' IN UNNEST(@many)", *parameters
    )
    assert found == [
        ("it's", at("2024-01-01T00:00:00.000001"), None, ["a", "b"], b"\x00\x01", date(2024, 1, 2), 0.1, 7, True)
    ]
    places = [bigquery.ScalarQueryParameter(None, "INT64", n) for n in (1, 2, 3)]
    assert warehouse_of_module.rows("SELECT ?, '?' FROM UNNEST([?]) AS x WHERE x < ?", *places) == [(1, "?")]


def test_the_time_in_a_view_is_that_of_the_query_and_one_throughout_it(warehouse: Warehouse) -> None:
    """A view that is bound by the time is as long as the time says at each reading, not at its making."""
    warehouse.table("n INT64, at TIMESTAMP", "moments")
    warehouse.rows("CREATE VIEW {d}.now AS SELECT CURRENT_TIMESTAMP() AS now")
    warehouse.rows(
        "CREATE VIEW {d}.recent AS SELECT n FROM {d}.moments "
        "WHERE at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 3600 SECOND)"
    )
    warehouse.rows(
        "INSERT INTO {d}.moments (n, at) SELECT n, TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL n MINUTE) "
        "FROM UNNEST([1, 50, 70]) AS n"
    )
    assert warehouse.rows("SELECT n FROM {d}.recent ORDER BY n") == [(1,), (50,)]
    both = "SELECT a.now, b.now AS other, CURRENT_TIMESTAMP() AS own FROM {d}.now AS a CROSS JOIN {d}.now AS b"
    first, second = warehouse.rows(both)[0], warehouse.rows(both)[0]
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] < second[0]
    assert abs((first[0] - datetime.now(tz=timezone.utc)).total_seconds()) < 600


def test_results_come_in_pages_and_columns_without_a_name_get_one(warehouse_of_module: Warehouse) -> None:
    job = warehouse_of_module.client.query("SELECT n, n + 1, 'x' FROM UNNEST([1, 2, 3, 4, 5]) AS n ORDER BY n")
    rows = job.result(page_size=2)
    assert [field.name for field in rows.schema] == ["n", "f0_", "f1_"]
    assert [len(list(page)) for page in rows.pages] == [2, 2, 1]
    assert rows.total_rows == 5


def test_a_dry_run_checks_describes_and_does_nothing(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64")
    dry = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    job = warehouse.client.query(f"SELECT id, 'x' AS t FROM `{table}`", job_config=dry)
    assert [(field.name, field.field_type) for field in job.schema] == [("id", "INTEGER"), ("t", "STRING")]
    warehouse.client.query(f"INSERT INTO `{table}` (id) VALUES (1)", job_config=dry)
    assert warehouse.client.get_table(table).num_rows == 0
    with pytest.raises(BadRequest):
        warehouse.client.query("SELECT nothing FROM UNNEST([1]) AS n", job_config=dry)


def test_dml_tells_how_many_rows_it_changed(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64 NOT NULL, t STRING, tags ARRAY<STRING>")
    counts = [
        warehouse.client.query(f"{sql.format(t=table)}").result().num_dml_affected_rows
        for sql in (
            "INSERT INTO `{t}` (id, t) VALUES (1, 'a'), (2, 'b'), (3, NULL)",
            "INSERT `{t}` (id, tags) SELECT id + 10, ['x'] FROM `{t}`",
            "UPDATE `{t}` SET t = 'new', tags = NULL WHERE id = 11",
            "DELETE FROM `{t}` WHERE id IN (12, 13)",
            "DELETE `{t}` WHERE FALSE",
        )
    ]
    assert counts == [3, 3, 1, 2, 0]
    assert warehouse.rows("SELECT id, t, tags FROM {d}.t ORDER BY id") == [
        (1, "a", []), (2, "b", []), (3, None, []), (11, "new", []),
    ]  # fmt: skip
    assert warehouse.rows("SELECT SUM(ARRAY_LENGTH(tags)), COUNT(ARRAY_LENGTH(tags)) FROM {d}.t") == [(0, 4)]
    with pytest.raises(BadRequest):
        warehouse.rows("INSERT INTO {d}.t (t) VALUES ('no id')")


def test_merge_updates_inserts_and_deletes_and_refuses_two_sources_for_a_row(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64, t STRING")
    warehouse.rows("INSERT INTO {d}.t (id, t) VALUES (1, 'old'), (2, 'gone')")
    merge = """
    MERGE {d}.t AS T USING (SELECT * FROM UNNEST([STRUCT(1 AS id, 'new' AS t), STRUCT(3 AS id, 'made' AS t)]) AS s) AS S
    ON T.id = S.id
    WHEN MATCHED THEN UPDATE SET t = S.t
    WHEN NOT MATCHED THEN INSERT (id, t) VALUES (id, t)
    WHEN NOT MATCHED BY SOURCE THEN DELETE
    """.replace("SELECT * FROM", "SELECT s.id, s.t FROM")
    job = warehouse.client.query(merge.replace("{d}", warehouse.dataset))
    assert (job.result().num_dml_affected_rows, job.statement_type) == (3, "MERGE")
    assert warehouse.rows(f"SELECT id, t FROM `{table}` ORDER BY id") == [(1, "new"), (3, "made")]
    with pytest.raises(BadRequest):
        warehouse.rows(
            "MERGE {d}.t AS T USING (SELECT x AS t FROM UNNEST(['p', 'q']) AS x) AS S ON T.id = 1 "
            "WHEN MATCHED THEN UPDATE SET t = S.t"
        )
    assert warehouse.rows("SELECT t FROM {d}.t WHERE id = 1") == [("new",)]


def test_ddl_makes_alters_truncates_and_drops(warehouse: Warehouse) -> None:
    rows = warehouse.rows
    rows(
        "CREATE OR REPLACE TABLE {d}.t PARTITION BY DATE(at) CLUSTER BY id "
        "OPTIONS(description = 'd', require_partition_filter = FALSE) "
        "AS SELECT 1 AS id, TIMESTAMP '2024-01-01' AS at, ['x'] AS tags"
    )
    table = warehouse.client.get_table(warehouse.name("t"))
    assert (table.time_partitioning.field, table.clustering_fields, table.description) == ("at", ["id"], "d")
    assert [(f.name, f.field_type, f.mode) for f in table.schema] == [
        ("id", "INTEGER", "NULLABLE"), ("at", "TIMESTAMP", "NULLABLE"), ("tags", "STRING", "REPEATED"),
    ]  # fmt: skip
    rows(
        "CREATE OR REPLACE TABLE {d}.t (id INT64 NOT NULL, at TIMESTAMP, tags ARRAY<STRING>) "
        "PARTITION BY DATE(at) CLUSTER BY id AS SELECT x AS other, TIMESTAMP '2024-01-01', ['x'] FROM UNNEST([1]) AS x"
    )
    assert [(f.name, f.mode) for f in warehouse.client.get_table(warehouse.name("t")).schema][0] == ("id", "REQUIRED")
    rows("ALTER TABLE {d}.t ADD COLUMN IF NOT EXISTS more STRING")
    assert rows("SELECT id, at, tags, more FROM {d}.t") == [(1, at("2024-01-01"), ["x"], None)]
    rows("CREATE OR REPLACE VIEW {d}.v OPTIONS(description = 'seen') AS SELECT id FROM {d}.t")
    assert warehouse.client.get_table(warehouse.name("v")).description == "seen"
    rows("TRUNCATE TABLE {d}.t")
    assert rows("SELECT COUNT(*) FROM {d}.v") == [(0,)]
    rows("DROP VIEW {d}.v")
    rows("DROP TABLE {d}.t")
    rows("DROP TABLE IF EXISTS {d}.t")
    with pytest.raises(NotFound):
        rows("DROP TABLE {d}.t")
