"""`webevents warehouse apply`: makes what is missing, adds columns, never changes one."""

import pytest
from google.cloud import bigquery

from contract.failures import ConfigError
from contract.names import TABLES, Kind
from tests.warehouse.conftest import session
from warehouse.apply import apply, main

pytestmark = pytest.mark.stack


def test_a_second_time_changes_nothing(room):
    lines = apply(room.client, room.dataset)
    assert [line.split(": ")[1] for line in lines] == ["as it should be"] * len(TABLES) + ["view renewed"] * 2


def test_tables_are_partitioned_and_clustered(room):
    table = room.client.get_table(f"{room.dataset}.sessions")
    assert (table.time_partitioning.field, table.clustering_fields) == ("window_start", ["uiud"])


def test_a_column_that_is_missing_is_added_and_old_rows_stay(room):
    room.client.query_and_wait(f"CREATE OR REPLACE TABLE `{room.dataset}.events` (uiud STRING NOT NULL)")
    room.client.query_and_wait(f"INSERT INTO `{room.dataset}.events` (uiud) VALUES ('u')")
    assert any("events: added timestamp" in line for line in apply(room.client, room.dataset))
    assert room.ask("SELECT uiud, pageUrl FROM `{d}.events`") == [{"uiud": "u", "pageUrl": None}]


def test_a_column_of_another_type_is_refused(room):
    room.client.query_and_wait(f"CREATE OR REPLACE TABLE `{room.dataset}.events` (uiud INT64)")
    with pytest.raises(ConfigError, match="column uiud is INTEGER scalar, the contract says STRING scalar"):
        apply(room.client, room.dataset)


def test_the_command_makes_a_dataset_that_is_not_there(room, capsys):
    dataset = f"{room.dataset}_new"
    assert main(["apply", "--project", "local", "--dataset", dataset]) == 0
    assert "sessions: created" in capsys.readouterr().out
    assert {table.table_id for table in room.client.list_tables(dataset)} == {*TABLES, "visits", "sessions_live"}


def test_the_tables_take_what_the_job_writes(room):
    room.load(Kind.SESSIONS, session("a"))
    (row,) = room.client.list_rows(f"{room.client.project}.{room.dataset}.sessions")
    assert isinstance(row, bigquery.Row)
    assert dict(row) == session("a")


@pytest.mark.parametrize("dataset", ["a`b", "a;b", "a b", "a.b.c", "", "a\n"])
def test_a_dataset_is_a_name_and_no_sql(dataset):
    with pytest.raises(ConfigError, match="--dataset: want"):
        main(["apply", "--dataset", dataset])
