"""Load jobs: one transaction over all files, columns by name, types and nulls checked."""

from datetime import datetime, timezone
from typing import Any

import pytest

from tests.conformance.conftest import Warehouse, avro

pytestmark = pytest.mark.stack

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
AT = datetime(2024, 5, 1, 10, 30, 0, 123456, tzinfo=timezone.utc)
GOOD = avro({"id": "long", "name": "string"}, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
COLUMNS = "id INT64 NOT NULL, name STRING"


def reason(job: Any) -> str | None:
    return (job.error_result or {}).get("reason")


def test_a_load_appends_the_rows_of_all_its_files(warehouse: Warehouse) -> None:
    table = warehouse.table(COLUMNS)
    more = avro({"id": "long", "name": "string"}, [{"id": 3, "name": "c"}])
    job = warehouse.load([warehouse.put(GOOD), warehouse.put(more)], table)
    assert (job.error_result, job.output_rows) == (None, 3)
    assert warehouse.rows("SELECT id, name FROM {d}.t ORDER BY id") == [(1, "a"), (2, "b"), (3, "c")]
    assert warehouse.client.get_table(table).num_rows == 3


def test_a_wildcard_stands_for_all_objects_that_match(warehouse: Warehouse) -> None:
    table = warehouse.table(COLUMNS)
    for number in (1, 2):
        warehouse.put(GOOD, f"{warehouse.dataset}/part-{number}.avro")
    assert warehouse.load(f"gs://{warehouse.bucket.name}/{warehouse.dataset}/part-*.avro", table).output_rows == 4


@pytest.mark.parametrize("disposition", ["WRITE_APPEND", "WRITE_TRUNCATE"])
@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        pytest.param(GOOD[:-20], "invalid", id="cut short in its last block"),
        pytest.param(GOOD[:60], "invalid", id="cut short in its header"),
        pytest.param(b"no avro at all", "invalid", id="no Avro"),
        pytest.param(None, "notFound", id="missing"),
    ],
)
def test_a_bad_file_among_good_ones_changes_nothing(
    warehouse: Warehouse, bad: bytes | None, expected: str, disposition: str
) -> None:
    table = warehouse.table(COLUMNS)
    warehouse.load(warehouse.put(GOOD), table)
    second = warehouse.put(bad) if bad is not None else f"gs://{warehouse.bucket.name}/{warehouse.dataset}/missing.avro"
    job = warehouse.load([warehouse.put(GOOD), second], table, write_disposition=disposition)
    assert reason(job) == expected
    assert warehouse.rows("SELECT COUNT(*) FROM {d}.t") == [(2,)]


def test_create_never_refuses_a_table_that_is_missing(warehouse: Warehouse) -> None:
    assert reason(warehouse.load(warehouse.put(GOOD), warehouse.name("missing"))) == "notFound"


def test_create_if_needed_makes_the_table_that_the_file_stands_for(warehouse: Warehouse) -> None:
    content = avro(
        {"id": "long", "at": MICROS, "tags": {"type": "array", "items": "string"}, "note": ["null", "string"]},
        [{"id": 1, "at": AT, "tags": ["x"], "note": None}],
    )
    warehouse.load(warehouse.put(content), warehouse.name("made"), create_disposition="CREATE_IF_NEEDED")
    schema = warehouse.client.get_table(warehouse.name("made")).schema
    assert [(field.name, field.field_type, field.mode) for field in schema] == [
        ("id", "INTEGER", "REQUIRED"),
        ("at", "TIMESTAMP", "REQUIRED"),
        ("tags", "STRING", "REPEATED"),
        ("note", "STRING", "NULLABLE"),
    ]
    assert warehouse.rows("SELECT id, at, tags, note FROM {d}.made") == [(1, AT, ["x"], None)]


def test_write_truncate_replaces_rows_and_write_empty_refuses_them(warehouse: Warehouse) -> None:
    table = warehouse.table(COLUMNS)
    uri = warehouse.put(GOOD)
    warehouse.load(uri, table)
    assert warehouse.load(uri, table, write_disposition="WRITE_TRUNCATE").error_result is None
    assert warehouse.client.get_table(table).num_rows == 2
    assert reason(warehouse.load(uri, table, write_disposition="WRITE_EMPTY")) == "duplicate"


def test_columns_are_found_by_name_not_by_place(warehouse: Warehouse) -> None:
    table = warehouse.table("a STRING, b STRING, c STRING")
    content = avro({"c": "string", "B": "string", "a": "string"}, [{"c": "third", "B": "second", "a": "first"}])
    warehouse.load(warehouse.put(content), table)
    assert warehouse.rows("SELECT a, b, c FROM {d}.t") == [("first", "second", "third")]


def test_an_unknown_field_is_refused_unless_it_is_to_be_ignored(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64")
    uri = warehouse.put(GOOD)
    assert reason(warehouse.load(uri, table)) == "invalid"
    assert warehouse.load(uri, table, ignore_unknown_values=True).output_rows == 2
    assert warehouse.rows("SELECT SUM(id), COUNT(*) FROM {d}.t") == [(3, 2)]


def test_a_nullable_column_that_the_file_lacks_is_null_and_a_repeated_one_empty(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64, note STRING, tags ARRAY<STRING>")
    warehouse.load(warehouse.put(avro({"id": "long"}, [{"id": 1}])), table)
    assert warehouse.rows("SELECT id, note, tags, ARRAY_LENGTH(tags) FROM {d}.t") == [(1, None, [], 0)]


TYPES = [
    pytest.param("TIMESTAMP", "long", 5, True, False, id="a plain long is no TIMESTAMP"),
    pytest.param("TIMESTAMP", MICROS, AT, True, True, id="timestamp-micros is TIMESTAMP with logical types"),
    pytest.param("TIMESTAMP", MICROS, AT, False, False, id="timestamp-micros is no TIMESTAMP without them"),
    pytest.param("INT64", MICROS, AT, False, True, id="timestamp-micros is INT64 without logical types"),
    pytest.param("INT64", MICROS, AT, True, False, id="timestamp-micros is no INT64 with them"),
    pytest.param("INT64", "string", "5", True, False, id="text is no INT64"),
    pytest.param("STRING", "long", 5, True, False, id="a number is no STRING"),
    pytest.param("STRING", {"type": "array", "items": "string"}, ["a"], True, False, id="an array is no STRING"),
    pytest.param("ARRAY<STRING>", "string", "a", True, False, id="one STRING is no array"),
    pytest.param("BYTES", "bytes", b"\x00\xff", True, True, id="bytes are BYTES"),
    pytest.param("FLOAT64", "double", 1.5, True, True, id="a double is FLOAT64"),
    pytest.param("BOOL", "boolean", True, True, True, id="a boolean is BOOL"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "kind", "value", "logical", "fits"), TYPES)
def test_types_are_checked(warehouse: Warehouse, column: str, kind: Any, value: Any, logical: bool, fits: bool) -> None:
    table = warehouse.table(f"v {column}")
    job = warehouse.load(warehouse.put(avro({"v": kind}, [{"v": value}])), table, use_avro_logical_types=logical)
    assert reason(job) == (None if fits else "invalid")
    expected = 1714559400123456 if column == "INT64" else value
    assert warehouse.rows("SELECT v FROM {d}.t") == ([(expected,)] if fits else [])


MAYBE = ["null", "string"]
NULLS = [
    pytest.param("v STRING NOT NULL", {"v": MAYBE}, {"v": None}, id="null in a REQUIRED column"),
    pytest.param("v STRING NOT NULL", {"v": MAYBE}, {"v": "a"}, id="a REQUIRED column from a nullable field"),
    pytest.param("v STRING NOT NULL, w STRING", {"w": "string"}, {"w": "a"}, id="a REQUIRED column that is missing"),
    pytest.param(
        "v ARRAY<STRING>", {"v": {"type": "array", "items": MAYBE}}, {"v": ["a", None]}, id="null in an array"
    ),
]


@pytest.mark.parametrize(("columns", "fields", "row"), NULLS)
def test_null_is_refused_where_it_must_not_be(
    warehouse: Warehouse, columns: str, fields: dict[str, Any], row: dict[str, Any]
) -> None:
    table = warehouse.table(columns)
    assert reason(warehouse.load(warehouse.put(avro(fields, [row])), table)) == "invalid"
    assert warehouse.client.get_table(table).num_rows == 0


def test_a_null_array_is_empty_and_nullable_items_without_nulls_load(warehouse: Warehouse) -> None:
    table = warehouse.table("v ARRAY<STRING>")
    kind = ["null", {"type": "array", "items": ["null", "string"]}]
    warehouse.load(warehouse.put(avro({"v": kind}, [{"v": None}, {"v": ["a", "b"]}])), table)
    assert sorted(warehouse.rows("SELECT v FROM {d}.t")) == [([],), (["a", "b"],)]


def test_nested_records_and_their_arrays_load(warehouse: Warehouse) -> None:
    inner = {
        "type": "record",
        "name": "Hit",
        "fields": [
            {"name": "at", "type": MICROS},
            {"name": "raw", "type": ["null", "bytes"]},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    }
    hit = "STRUCT<at TIMESTAMP, raw BYTES, tags ARRAY<STRING>>"
    table = warehouse.table(f"hit {hit}, hits ARRAY<{hit}>")
    one = {"at": AT, "raw": b"\x01", "tags": ["x", "y"]}
    rows = [{"hit": one, "hits": [one, {**one, "raw": None, "tags": []}]}, {"hit": None, "hits": []}]
    warehouse.load(
        warehouse.put(avro({"hit": ["null", inner], "hits": {"type": "array", "items": "Hit"}}, rows)), table
    )
    assert warehouse.rows("SELECT hit, hits FROM {d}.t ORDER BY hit.at DESC") == [tuple(row.values()) for row in rows]


TEXTS = ["", "ä€😀", 'quo"te \\ back', "line\nbreak\u2028", "tab\t", "\x01", "null"]


def test_text_and_numbers_come_back_as_they_were(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64, t STRING, n INT64, f FLOAT64")
    numbers = [0, -1, 2**63 - 1, -(2**63), 2**53 + 1, 1, 2]
    floats = [0.1, -0.0, 1e300, float("inf"), float("-inf"), 5e-324, 3.0]
    rows = [{"id": i, "t": t, "n": n, "f": f} for i, (t, n, f) in enumerate(zip(TEXTS, numbers, floats, strict=True))]
    content = avro({"id": "long", "t": "string", "n": "long", "f": "double"}, rows)
    assert warehouse.load(warehouse.put(content), table).error_result is None
    assert warehouse.rows("SELECT id, t, n, f FROM {d}.t ORDER BY id") == [tuple(row.values()) for row in rows]
