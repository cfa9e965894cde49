"""Datasets, tables, views: create, get, list, patch, delete; rows in pages; layout kept."""

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

from tests.conformance.conftest import Warehouse
from warehouse.apply import apply

pytestmark = pytest.mark.stack

SCHEMA = [
    SchemaField("id", "INTEGER", mode="REQUIRED", description="number"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("tags", "STRING", mode="REPEATED"),
    SchemaField("place", "RECORD", fields=[SchemaField("city", "STRING"), SchemaField("zip", "STRING")]),
]


def make(warehouse: Warehouse, name: str = "t") -> bigquery.Table:
    table = bigquery.Table(warehouse.name(name), schema=SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="at", type_="DAY", expiration_ms=86_400_000)
    table.clustering_fields = ["id"]
    table.require_partition_filter = True
    table.description, table.labels = "all of it", {"team": "web"}
    return warehouse.client.create_table(table)


def test_a_table_keeps_schema_partitioning_and_clustering(warehouse: Warehouse) -> None:
    make(warehouse)
    table = warehouse.client.get_table(warehouse.name("t"))
    assert [(f.name, f.field_type, f.mode, f.description) for f in table.schema][0] == (
        "id",
        "INTEGER",
        "REQUIRED",
        "number",
    )
    assert [f.name for f in table.schema[3].fields] == ["city", "zip"]
    assert (table.time_partitioning.field, table.time_partitioning.expiration_ms) == ("at", 86_400_000)
    assert (table.clustering_fields, table.require_partition_filter) == (["id"], True)
    assert (table.description, table.labels, table.num_rows) == ("all of it", {"team": "web"}, 0)


def test_partitioning_by_text_is_refused(warehouse: Warehouse) -> None:
    table = bigquery.Table(warehouse.name("t"), schema=[SchemaField("a", "STRING")])
    table.time_partitioning = bigquery.TimePartitioning(field="a")
    with pytest.raises(BadRequest):
        warehouse.client.create_table(table)


def test_names_are_taken_found_listed_and_given_back(warehouse: Warehouse) -> None:
    make(warehouse)
    with pytest.raises(Conflict):
        make(warehouse)
    assert [table.table_id for table in warehouse.client.list_tables(warehouse.dataset)] == ["t"]
    assert warehouse.dataset in [dataset.dataset_id for dataset in warehouse.client.list_datasets()]
    with pytest.raises(BadRequest):
        warehouse.client.delete_dataset(warehouse.dataset)
    warehouse.client.delete_table(warehouse.name("t"))
    with pytest.raises(NotFound):
        warehouse.client.get_table(warehouse.name("t"))
    with pytest.raises(NotFound):
        warehouse.client.get_dataset("no_such_dataset")


def test_a_patch_adds_columns_at_the_end_and_relaxes_required_ones(warehouse: Warehouse) -> None:
    table = make(warehouse)
    table.schema = [SchemaField("id", "INTEGER"), *SCHEMA[1:], SchemaField("new", "STRING", mode="REPEATED")]
    table.description = "other"
    table = warehouse.client.update_table(table, ["schema", "description"])
    assert (table.schema[0].mode, table.schema[-1].name, table.description) == ("NULLABLE", "new", "other")
    for wrong in (SCHEMA[1:], [*table.schema, SchemaField("must", "STRING", mode="REQUIRED")]):
        table.schema = wrong
        with pytest.raises(BadRequest, match="Provided Schema does not match"):
            warehouse.client.update_table(table, ["schema"])
        table = warehouse.client.get_table(table)


def test_a_patch_of_what_was_changed_in_between_is_refused(warehouse: Warehouse) -> None:
    mine = make(warehouse)
    theirs = warehouse.client.get_table(mine)
    theirs.description = "theirs"
    warehouse.client.update_table(theirs, ["description"])
    mine.description = "mine"
    with pytest.raises(PreconditionFailed):
        warehouse.client.update_table(mine, ["description"])


def test_a_dataset_can_be_patched(warehouse: Warehouse) -> None:
    dataset = warehouse.client.get_dataset(warehouse.dataset)
    dataset.description = "mine"
    assert warehouse.client.update_dataset(dataset, ["description"]).description == "mine"
    assert dataset.location == "US"


def test_rows_are_listed_in_pages(warehouse: Warehouse) -> None:
    warehouse.client.query_and_wait(
        f"CREATE TABLE `{warehouse.name('n')}` AS SELECT n, CONCAT('x', CAST(n AS STRING)) AS s "
        "FROM UNNEST(GENERATE_ARRAY(1, 25)) AS n"
    )
    pages = [len(list(page)) for page in warehouse.client.list_rows(warehouse.name("n"), page_size=10).pages]
    assert pages == [10, 10, 5]
    some = warehouse.client.list_rows(
        warehouse.name("n"), selected_fields=[SchemaField("s", "STRING")], start_index=20, max_results=3
    )
    assert len([row["s"] for row in some]) == 3


def test_a_view_is_read_through_and_has_a_schema(warehouse: Warehouse) -> None:
    warehouse.client.query_and_wait(f"CREATE TABLE `{warehouse.name('t')}` AS SELECT 1 AS id UNION ALL SELECT 2")
    view = bigquery.Table(warehouse.name("v"))
    view.view_query = f"WITH t AS (SELECT id FROM `{warehouse.name('t')}`) SELECT id * 10 AS ten FROM t"
    made = warehouse.client.create_table(view)
    assert [(field.name, field.field_type) for field in made.schema] == [("ten", "INTEGER")]
    assert warehouse.rows("SELECT v.ten FROM {d}.v ORDER BY ten") == [(10,), (20,)]
    made.view_query = f"SELECT id FROM `{warehouse.name('t')}`"
    warehouse.client.update_table(made, ["view_query"])
    assert warehouse.rows("SELECT * FROM {d}.v ORDER BY 1") == [(1,), (2,)]
    assert warehouse.rows("SELECT table_name, table_type FROM {d}.INFORMATION_SCHEMA.TABLES ORDER BY 1") == [
        ("t", "BASE TABLE"),
        ("v", "VIEW"),
    ]


def test_a_table_named_like_its_dataset_is_that_table(warehouse: Warehouse) -> None:
    name = warehouse.dataset
    warehouse.client.query_and_wait(f"CREATE TABLE `{warehouse.name(name)}` AS SELECT 7 AS {name}")
    assert warehouse.rows(f"SELECT {name}.{name} FROM {name}.{name}") == [(7,)]
    assert warehouse.rows(f"SELECT {name} FROM `{name}.{name}` AS t1") == [(7,)]


def test_the_products_ddl_makes_its_tables_and_views_twice(warehouse: Warehouse) -> None:
    apply(warehouse.client, warehouse.dataset)
    assert all("created" not in line for line in apply(warehouse.client, warehouse.dataset))
    sessions = warehouse.client.get_table(warehouse.name("sessions"))
    assert (sessions.time_partitioning.field, sessions.clustering_fields) == ("window_start", ["uiud"])
    assert sessions.schema[6].description.startswith("'1' or '0' of each pageview")
    assert sessions.description.startswith("One row per visitor")
    assert warehouse.client.get_table(warehouse.name("visits")).table_type == "VIEW"
    assert warehouse.client.get_table(warehouse.name("sessions_live")).table_type == "VIEW"
    for view in ("visits", "sessions_live"):
        assert warehouse.rows(f"SELECT COUNT(*) FROM {{d}}.{view}") == [(0,)]
