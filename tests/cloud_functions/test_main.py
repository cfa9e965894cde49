import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from cloud_functions import main
from cloud_functions.event import FINALIZED
from contract.failures import ConfigError, TransientError
from tests.cloud_functions.conftest import Room, bad_rows, to_avro


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module as after its import; the tests' own log handlers stay."""
    monkeypatch.setattr(main, "start_log", lambda: None)
    main.loader.cache_clear()
    yield
    main.loader.cache_clear()


def event(resource: Any, kind: str = FINALIZED) -> CloudEvent:
    return CloudEvent({"type": kind, "source": "//storage.googleapis.com/projects/_/buckets/b"}, resource)


@pytest.mark.stack
@pytest.mark.parametrize("signature", ["CloudEvent", "background event"])
def test_both_signatures_load_the_object(room: Room, monkeypatch: pytest.MonkeyPatch, signature: str) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", room.bigquery_url)
    monkeypatch.setenv("WEBEVENTS_DATASET", room.dataset)
    monkeypatch.setenv("WEBEVENTS_PROJECT", "local")
    found = room.put(1, to_avro(bad_rows(3)))
    resource = {"bucket": found.bucket, "name": found.batch.name, "generation": str(found.generation)}
    if signature == "CloudEvent":
        main.on_object_finalized(event(resource))
    else:
        main.update_user_cart(resource, None)
    assert room.rows() == 3 and room.jobs(found)


@pytest.mark.parametrize("resource", [None, [], "text", 7, {}, {"name": "a/_SUCCESS", "bucket": "b"}], ids=str)
def test_what_names_no_batch_is_acknowledged_without_a_client(
    resource: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(main, "build_loader", lambda *_: pytest.fail("no client is needed"))
    main.on_object_finalized(event(resource))
    main.update_user_cart(resource, None)
    assert [record.message for record in caplog.records] == ["event ignored"] * 2


def test_another_type_of_event_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "build_loader", lambda *_: pytest.fail("no client is needed"))
    resource = {"bucket": "b", "name": "bad/v1/q/batch=000000000001.avro", "generation": "1"}
    main.on_object_finalized(event(resource, "google.cloud.storage.object.v1.deleted"))


def test_settings_at_fault_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBEVENTS_DATSET", "w")
    monkeypatch.setenv("WEBEVENTS_DEAD_LETTER", "bucket")
    resource = {"bucket": "b", "name": "bad/v1/q/batch=000000000001.avro", "generation": "1"}
    with pytest.raises(ConfigError) as told:
        main.update_user_cart(resource, None)
    assert "WEBEVENTS_DATSET: unknown; did you mean WEBEVENTS_DATASET?" in str(told.value)
    assert "WEBEVENTS_DEAD_LETTER: want gs://bucket, got 'bucket'" in str(told.value)


@pytest.mark.stack
def test_a_warehouse_that_does_not_answer_has_the_event_delivered_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("WEBEVENTS_PROJECT", "local")
    monkeypatch.setattr("cloud_functions.load.CALL_S", 0.5)
    found = room.put(1, to_avro(bad_rows(3)))
    with pytest.raises(TransientError, match="no answer"):
        main.update_user_cart(
            {"bucket": found.bucket, "name": found.batch.name, "generation": str(found.generation)}, None
        )
