from datetime import datetime, timezone
from typing import Any

import pytest

from cloud_functions.event import FinalizedBatch, Ignored, parse_event
from contract.names import BatchObject, Kind, dead_letter_name, load_id, record_name

BATCH = BatchObject(Kind.SESSIONS, "q-1", 42)
RESOURCE = {
    "bucket": "b",
    "name": BATCH.name,
    "generation": "1700000000000001",
    "timeCreated": "2026-01-02T03:04:05.678Z",
}


def test_a_batchs_event_names_its_object_to_the_generation() -> None:
    found = parse_event(RESOURCE)
    created_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert found == FinalizedBatch(BATCH, "b", 1700000000000001, created_at)
    assert isinstance(found, FinalizedBatch) and found.uri == f"gs://b/{BATCH.name}"


@pytest.mark.parametrize(
    "batch",
    [BatchObject(kind, "q", 0, manifest=manifest) for kind in Kind for manifest in (False, True)],
    ids=lambda batch: batch.name,
)
def test_every_kind_of_batch_is_taken(batch: BatchObject) -> None:
    found = parse_event({**RESOURCE, "name": batch.name})
    assert isinstance(found, FinalizedBatch) and found.batch == batch


def test_a_generation_may_be_a_number() -> None:
    assert parse_event({**RESOURCE, "generation": 1700000000000001}) == parse_event(RESOURCE)


@pytest.mark.parametrize("given", [None, "", "yesterday", "2026-13-40T99:99:99Z", "2026-01-02T03:04:05+02:00", 7])
def test_a_time_that_is_unreadable_does_not_stop_a_load(given: Any) -> None:
    found = parse_event({**RESOURCE, "timeCreated": given})
    assert isinstance(found, FinalizedBatch) and found.created_at is None


NO_BATCH = {
    "a folder's marker": "sessions/v1/q/",
    "Hadoop's success marker": "sessions/v1/q/_SUCCESS",
    "a file of Hadoop's committer": "sessions/v1/_temporary/0/task_1/part-00000.avro",
    "a batch record": record_name("q", 42),
    "a part of a manifest": BATCH.part_name("a1", 0),
    "a dead-letter record": dead_letter_name(load_id("sessions", "b", BATCH.name, 1)),
    "another version": BATCH.name.replace("/v1/", "/v2/"),
    "another kind": BATCH.name.replace("sessions", "visitors"),
    "a name in upper case": BATCH.name.upper(),
    "a batch number of eleven digits": "sessions/v1/q/batch=00000000042.avro",
    "digits of another script": "sessions/v1/q/batch=٠٠٠٠٠٠٠٠٠٠٤٢.avro",
    "a copy beside the batch": BATCH.name + ".bak",
    "a line break behind the name": BATCH.name + "\n",
    "a folder before the name": "/" + BATCH.name,
    "a way up": "sessions/v1/../batch=000000000042.avro",
    "a query id with a slash": "sessions/v1/q/r/batch=000000000042.avro",
    "Avro that somebody dropped": "export.avro",
    "a very long name": "x" * 5000,
}


@pytest.mark.parametrize("name", NO_BATCH.values(), ids=NO_BATCH)
def test_an_object_that_is_no_batch_is_ignored(name: str) -> None:
    found = parse_event({**RESOURCE, "name": name})
    assert isinstance(found, Ignored) and found.why == "the object is no batch"
    assert len(str(found.fields["object"])) <= 1024


NONSENSE: dict[str, Any] = {
    "no resource": None,
    "text": "sessions",
    "bytes": b"\x00\xff",
    "a list": [RESOURCE],
    "a number": 7,
    "an empty resource": {},
    "name missing": {"bucket": "b", "generation": "1"},
    "name null": {**RESOURCE, "name": None},
    "name empty": {**RESOURCE, "name": ""},
    "name a number": {**RESOURCE, "name": 7},
    "name a list": {**RESOURCE, "name": [BATCH.name]},
    "bucket missing": {"name": BATCH.name, "generation": "1"},
    "bucket null": {**RESOURCE, "bucket": None},
    "bucket an object": {**RESOURCE, "bucket": {"name": "b"}},
    "generation missing": {"bucket": "b", "name": BATCH.name},
    "generation null": {**RESOURCE, "generation": None},
    "generation negative": {**RESOURCE, "generation": -1},
    "generation true": {**RESOURCE, "generation": True},
    "generation with a fraction": {**RESOURCE, "generation": 1.5},
    "generation in words": {**RESOURCE, "generation": "latest"},
    "generation in digits of another script": {**RESOURCE, "generation": "١٢"},
}


@pytest.mark.parametrize("resource", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_ignored_with_a_reason(resource: Any) -> None:
    found = parse_event(resource)
    assert isinstance(found, Ignored) and found.why


def test_a_log_line_says_no_values_of_a_strange_resource() -> None:
    found = parse_event({"password": "secret"})
    assert isinstance(found, Ignored) and "secret" not in str(found)
