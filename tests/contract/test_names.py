import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.names import (
    BatchObject,
    Kind,
    batch_key,
    dead_letter_name,
    load_id,
    parse_batch_key,
    parse_object_name,
    record_name,
)

QUERY = "3f0c8f2e-0d9c-4a53-9d1e-9d5f5b5d7a10"


@pytest.mark.parametrize("kind", list(Kind))
@given(batch_id=st.integers(0, 999_999_999_999), manifest=st.booleans())
def test_an_object_name_is_read_as_it_was_written(kind, batch_id, manifest):
    batch = BatchObject(kind, QUERY, batch_id, manifest)
    assert parse_object_name(batch.name) == batch


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="an empty name"),
        pytest.param(f"sessions/v1/{QUERY}/", id="a folder marker"),
        pytest.param(f"sessions/v1/{QUERY}/_SUCCESS", id="a success marker"),
        pytest.param(f"sessions/v1/{QUERY}/_temporary/0/batch=000000000001.avro", id="a committer's temporary file"),
        pytest.param(f"sessions/v1/{QUERY}/batch=1.avro", id="a batch number that is not padded"),
        pytest.param(f"sessions/v1/{QUERY}/batch=000000000001.avro.crc", id="a checksum file"),
        pytest.param(f"x/sessions/v1/{QUERY}/batch=000000000001.avro", id="a name under another prefix"),
        pytest.param(f"sessions/v2/{QUERY}/batch=000000000001.avro", id="a version that is not known"),
        pytest.param("sessions/v1/a/b/batch=000000000001.avro", id="a query id with a slash"),
        pytest.param(f"sessions/v1/{QUERY}/batch=000000000001.avro\n", id="a newline at the end"),
        pytest.param(record_name(QUERY, 1), id="a batch record"),
        pytest.param(BatchObject(Kind.SESSIONS, QUERY, 1).part_name("a1", 0), id="a part file"),
        pytest.param(dead_letter_name("webevents-sessions-0-a0"), id="a dead letter"),
    ],
)
def test_there_is_nothing_to_load_in(name):
    assert parse_object_name(name) is None


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        pytest.param(batch_key("q-1", 42), ("q-1", 42), id="what a batch writes"),
        pytest.param("q/42", None, id="too few digits"),
        pytest.param("../q/000000000042", None, id="a path"),
        pytest.param("q/000000000042\n", None, id="a line's end behind it"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_batch_key_is_read_as_it_is_written(text, parsed):
    assert parse_batch_key(text) == parsed


def test_names_are_these():
    batch = BatchObject(Kind.SESSIONS, "q", 42)
    assert batch.name == "sessions/v1/q/batch=000000000042.avro"
    assert batch.batch_key == batch_key("q", 42) == "q/000000000042"
    assert record_name("q", 42) == "batches/v1/q/batch=000000000042.json"
    assert Kind.BAD.table == "bad_events"


def test_every_delivery_of_one_object_has_one_load_id():
    assert load_id("sessions", "b", "n", 1) == load_id("sessions", "b", "n", "1")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("sessions", "b", "n", 2), id="another generation"),
        pytest.param(("sessions", "c", "n", 1), id="another bucket"),
        pytest.param(("sessions", "b", "m", 1), id="another name"),
        pytest.param(("sessions", "b", "n", 1, 1), id="another attempt"),
    ],
)
def test_another_load_id_for(other):
    assert load_id(*other) != load_id("sessions", "b", "n", 1)
