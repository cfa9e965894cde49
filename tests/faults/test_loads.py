"""Loads: events a day late, answers lost before and after the effect, foreign files, a new query over an old one's."""

import io
import json
import random

import fastavro
import pytest

from cloud_functions.load import job_config
from contract.failures import TransientError
from contract.names import Kind
from contract.schemas import schema
from tests.cloud_functions.conftest import bad_rows, make_tables, room, to_avro  # noqa: F401
from tests.streaming import topic
from tests.warehouse.conftest import room as dataset  # noqa: F401
from warehouse.reconcile import main

pytestmark = pytest.mark.stack


def avro(record, rows):
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(record), rows)
    return file.getvalue()


def stranger(**fields):
    """An Avro record of these types."""
    return {"type": "record", "name": "Stranger", "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def with_type(name, kind):
    """bad_events' own schema with another type of one field."""
    record = schema(Kind.BAD.schema)
    return {**record, "fields": [{**each, "type": kind} if each["name"] == name else each for each in record["fields"]]}


FOREIGN = {
    "of another program": avro(stranger(x="string"), [{"x": "y"}]),
    "a number where the table has text": avro(
        with_type("reason", "long"), [{**row, "reason": 7} for row in bad_rows(2)]
    ),
    "null where the table wants a value": avro(
        with_type("reason", ["null", "string"]), [{**row, "reason": None} for row in bad_rows(2)]
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_avro_file_leaves_a_record_and_the_others_go_on(room, content):  # noqa: F811
    loader = room.loader()
    for number, each in enumerate((to_avro(bad_rows(1)), content, to_avro(bad_rows(2)))):
        loader.load(room.put(number, each))
    (name,) = room.dead_letters()
    record = json.loads(room.storage.bucket(room.bucket).blob(name).download_as_text())
    assert (record["object"], record["reason"]) == ("bad/v1/q/batch=000000000001.avro", "invalid")
    assert room.rows() == 3


def test_events_three_times_shuffled_and_a_day_late_fill_the_table_once(room):  # noqa: F811
    found = [room.put(number, to_avro(bad_rows(number + 1))) for number in range(5)]
    first, *late = found
    room.loader().load(first)
    room.in_hours(24)
    deliveries = found * 3
    random.Random(4).shuffle(deliveries)
    processes = [room.loader() for _ in range(3)]
    for number, each in enumerate(deliveries):
        processes[number % 3].load(each)
    assert room.rows() == 15 and not room.dead_letters()
    assert all(room.jobs(each) == [room.load_id(each)] for each in found) and len(late) == 4


@pytest.mark.parametrize("fault", ["error_before", "error_after"])
@pytest.mark.parametrize("request_of", ["jobs.insert", "jobs.get"])
def test_an_answer_that_fails_before_or_after_its_effect_ends_in_one_load(room, fault, request_of):  # noqa: F811
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault(fault, request_of, times=2)
    for _ in range(4):
        try:
            room.loader().load(found)
            break
        except TransientError:
            continue
    room.loader().load(found)
    assert room.rows() == 3 and len(room.jobs(found)) == 1 and not room.dead_letters()


@pytest.mark.spark
def test_a_new_checkpoint_over_old_output_overwrites_nothing_and_reconcile_names_what_is_twice(
    spark, tmp_path, dataset, capsys  # noqa: F811
):  # fmt: skip
    run = topic.Run(spark, tmp_path)
    run.send(
        *[topic.pageview(topic.at("10:00"), eventId=f"closed {number}", uiud=f"u{number}") for number in range(3)],
        topic.pageview(topic.at("11:10"), eventId="open"), topic.beat(topic.at("11:20")),
    )  # fmt: skip
    run.drain_sessions()
    run.drain_archive()
    old = {name: (tmp_path / "bucket" / name).read_bytes() for name in run.objects()}
    (tmp_path / "checkpoint" / "sessions").rename(tmp_path / "lost checkpoint")
    run.send(topic.beat(topic.at("23:00")))
    run.drain_sessions()
    assert all((tmp_path / "bucket" / name).read_bytes() == content for name, content in old.items())
    new = [name for name in run.objects("sessions/") if name not in old]
    for name in run.objects():
        dataset.bucket.blob(name).upload_from_filename(tmp_path / "bucket" / name)
        kind = {"sessions": "sessions", "events": "events"}.get(name.split("/")[0])
        if kind and name.endswith(".avro"):
            table = f"{dataset.client.project}.{dataset.dataset}.{kind}"
            uri = f"gs://{dataset.bucket.name}/{name}"
            dataset.client.load_table_from_uri(uri, table, job_config=job_config()).result()
    flags = ["--bucket", dataset.bucket.name, "--project", "local", "--dataset", dataset.dataset]
    assert main(flags) == 1
    said = capsys.readouterr().out
    assert "in sessions twice: 3" in said and all(f"closed {number}" in said for number in range(3))
    assert "in sessions 7" in said and "IT DOES NOT HOLD" in said
    # As docs/runbook.md has it: the new query's rows of windows that the old one had closed are deleted.
    query_id = new[0].split("/")[2]
    closed_ms = max(record["watermarkMs"] for record in run.records() if record["queryId"] != query_id)
    dataset.ask(
        f"DELETE FROM `{{d}}.sessions` WHERE STARTS_WITH(batchKey, '{query_id}/') "
        f"AND window_end <= TIMESTAMP_MILLIS({closed_ms})"
    )
    assert main(flags) == 0
    assert "accepted 4 = in sessions 4 + rejected 0 + late 0 + open 0" in capsys.readouterr().out
