import json
import logging
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
import requests

from cloud_functions import load
from contract.failures import TransientError
from tests.cloud_functions.conftest import Room, bad_rows, to_avro

pytestmark = pytest.mark.stack


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "cloud_functions.load"]


def test_the_rows_of_an_object_are_in_the_table_and_the_line_says_how_many(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    room.loader().load(room.put(1, to_avro(bad_rows(3))))
    room.loader().load(room.put(2, to_avro(bad_rows(4))))
    assert room.rows() == 7
    lines = [vars(record) for record in caplog.records if record.message == "loaded"]
    assert [line["rows_loaded"] for line in lines] == [3, 4] and all(line["load_s"] is not None for line in lines)


def test_an_event_that_comes_again_loads_nothing_in_any_process(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found, loader = room.put(1, to_avro(bad_rows(3))), room.loader()
    for each in (loader, loader, room.loader()):
        each.load(found)
    assert room.rows() == 3
    assert messages(caplog) == ["loaded", "already loaded", "already loaded"]


def test_deliveries_at_the_same_time_load_once(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: room.loader().load(found), range(6)))
    assert room.rows() == 3 and len(room.jobs(found)) == 1


def test_an_object_written_anew_is_another_load(room: Room) -> None:
    first = room.put(1, to_avro(bad_rows(3)))
    room.loader().load(first)
    room.storage.bucket(room.bucket).blob(first.batch.name).delete()
    room.loader().load(room.put(1, to_avro(bad_rows(3))))
    assert room.rows() == 6


def test_a_manifest_loads_all_its_files_in_one_job(room: Room) -> None:
    parts = [f"parts/bad/v1/q/batch=000000000001/a/part-{index:05d}.avro" for index in range(3)]
    for part in parts:
        room.storage.bucket(room.bucket).blob(part).upload_from_string(to_avro(bad_rows(2)))
    uris = [f"gs://{room.bucket}/{part}" for part in parts]
    found = room.put(1, json.dumps({"uris": uris, "rows": 6}).encode(), manifest=True)
    room.loader().load(found)
    assert room.rows() == 6 and len(room.jobs(found)) == 1


BAD_MANIFESTS: dict[str, Any] = {
    "no JSON": b"\xff",
    "a list": [],
    "nothing": b"",
    "brackets without end": b"[" * 1_000_000,
    "more than 4 MiB": b'{"uris": ["gs://BUCKET/parts/a.avro"]}'.ljust(4 * 1024 * 1024 + 1),
    "no uris": {"rows": 1},
    "no file": {"uris": []},
    "uris that is text": {"uris": "gs://b/parts/a"},
    "a file of another bucket": {"uris": ["gs://somebody-elses/parts/a.avro"]},
    "a file outside parts": {"uris": ["gs://BUCKET/sessions/v1/q/batch=000000000001.avro"]},
}


@pytest.mark.parametrize("content", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_a_manifest_that_lists_no_files_of_ours_leaves_a_record(room: Room, content: Any) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    text = text.replace(b"BUCKET", room.bucket.encode())[: 4 * 1024 * 1024 + 1]
    found = room.put(1, text, manifest=True)
    room.loader().load(found)
    assert len(room.dead_letters()) == 1 and not room.jobs(found)


def test_a_manifest_that_is_gone_leaves_a_record(room: Room) -> None:
    found = room.put(1, b"{}", manifest=True)
    room.storage.bucket(room.bucket).blob(found.batch.name).delete()
    room.loader().load(found)
    assert len(room.dead_letters()) == 1


@pytest.mark.parametrize("content", [b"no avro", to_avro(bad_rows(500))[:2000], b""], ids=["no Avro", "cut", "empty"])
def test_an_object_that_can_never_load_leaves_one_record_and_takes_one_job(room: Room, content: bytes) -> None:
    found = room.put(1, content)
    room.loader().load(found)
    (name,) = room.dead_letters()
    written = room.storage.bucket(room.bucket).get_blob(name).generation
    for _ in range(2):
        room.loader().load(found)
    assert room.dead_letters() == [name]
    blob = room.storage.bucket(room.bucket).get_blob(name)
    assert blob.generation == written
    record = json.loads(blob.download_as_text())
    assert record["object"] == found.batch.name and record["generation"] == str(found.generation)
    assert record["reason"] == "invalid" and record["message"] and record["job"] == room.load_id(found)
    assert room.jobs(found) == [room.load_id(found)] and room.rows() == 0


def test_an_object_that_is_gone_leaves_a_record(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(1)))
    room.storage.bucket(room.bucket).blob(found.batch.name).delete()
    room.loader().load(found)
    assert len(room.dead_letters()) == 1


def test_a_record_can_go_to_a_bucket_of_its_own(room: Room, storage_url: str) -> None:
    room.loader(dead_letter="gs://webevents").load(room.put(1, b"no avro"))
    records = [blob.name for blob in room.storage.list_blobs("webevents", prefix="dead-letter/")]
    assert records and not room.dead_letters()


def test_a_job_that_failed_for_now_is_tried_again_by_the_next_delivery(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault("job_error", "jobs.insert")
    with pytest.raises(TransientError, match="failed for now.*backendError"):
        room.loader().load(found)
    room.loader().load(found)
    room.loader().load(found)
    assert room.rows() == 3 and len(room.jobs(found)) == 2


def test_a_job_that_goes_on_failing_takes_a_bounded_number_of_ids(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "ATTEMPTS", 3)
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault("job_error", "jobs.insert", times=1 + 2 + 3)  # Ids that are taken use faults up too.
    for _ in range(3):
        with pytest.raises(TransientError):
            room.loader().load(found)
    room.loader().load(found)
    assert len(room.jobs(found)) == 3 and len(room.dead_letters()) == 1 and room.rows() == 0


def test_an_answer_lost_after_the_insert_does_not_load_twice(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault("error_after", "jobs.insert")
    room.loader().load(found)
    assert room.rows() == 3 and len(room.jobs(found)) == 1


def test_a_job_that_is_still_running_is_left_to_the_next_delivery(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault("slow", "jobs.insert", seconds=2)
    with pytest.raises(TransientError, match="still runs after 0 s"):
        room.loader(wait_s=0).load(found)
    room.loader(wait_s=20).load(found)
    assert room.rows() == 3 and len(room.jobs(found)) == 1


def test_a_missing_table_waits_for_the_operator_and_takes_no_job(room: Room, make_tables: Any) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.warehouse.delete_table(f"{room.dataset}.bad_events")
    with pytest.raises(TransientError, match="Not found: Table"):
        room.loader().load(found)
    assert not room.jobs(found)
    make_tables(room.dataset)
    room.loader().load(found)
    assert room.rows() == 3


def test_a_table_that_disappears_under_a_running_process_waits_too(room: Room, make_tables: Any) -> None:
    loader = room.loader()
    loader.load(room.put(1, to_avro(bad_rows(3))))
    room.warehouse.delete_table(f"{room.dataset}.bad_events")
    found = room.put(2, to_avro(bad_rows(2)))
    for _ in range(3):
        with pytest.raises(TransientError):
            loader.load(found)
    assert len(room.jobs(found)) <= 1
    make_tables(room.dataset)
    loader.load(found)
    assert room.rows() == 2


def test_a_used_up_quota_waits(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.fault("quota", "jobs.insert")
    with pytest.raises(TransientError, match="quotaExceeded"):
        room.loader().load(found)
    room.loader().load(found)
    assert room.rows() == 3 and not room.dead_letters()


def test_before_eventarc_forgets_an_event_it_leaves_a_record(room: Room) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.warehouse.delete_table(f"{room.dataset}.bad_events")
    room.in_hours(21.9)
    with pytest.raises(TransientError):
        room.loader().load(found)
    room.in_hours(22)
    room.loader().load(found)
    (name,) = room.dead_letters()
    assert json.loads(room.storage.bucket(room.bucket).blob(name).download_as_text())["reason"] == "gaveUp"


def test_one_bad_object_does_not_hold_up_the_good_ones(room: Room) -> None:
    loader = room.loader()
    for batch_id, content in enumerate([to_avro(bad_rows(1)), b"no avro", to_avro(bad_rows(2))]):
        loader.load(room.put(batch_id, content))
    assert room.rows() == 3 and len(room.dead_letters()) == 1


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requests that Google's clients send, retries among them: method and the first word of what is asked for."""
    sent: list[str] = []
    send = requests.Session.send

    def count(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        words = str(request.path_url).split("?")[0].split("/")
        for collection in ("jobs", "tables", "o"):
            if collection in words:
                sent.append(f"{request.method} {collection}")
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", count)
    return sent


def test_an_event_takes_an_insert_and_one_question_once_its_process_has_seen_a_load(
    room: Room, calls: list[str]
) -> None:
    loader = room.loader()
    counted = []
    for number in range(3):
        found = room.put(number, to_avro(bad_rows(3)))
        # As at BigQuery, the answer to the insert comes before the load ends; here 0.5 s after the insert.
        room.fault("slow", "jobs.insert", seconds=2.5)
        calls.clear()
        loader.load(found)
        counted.append(list(calls))
    first, *later = counted
    assert first[:2] == ["GET tables", "POST jobs"] and set(first[2:]) == {"GET jobs"}
    assert later == [["POST jobs", "GET jobs"]] * 2 and room.rows() == 9


def test_a_load_is_not_left_alone_for_longer_than_its_call_may_wait(room: Room) -> None:
    loader, found = room.loader(wait_s=0), room.put(1, to_avro(bad_rows(3)))
    loader.load_s["bad_events"].append(3600)
    room.fault("slow", "jobs.insert", seconds=2)
    begun = monotonic()
    with pytest.raises(TransientError, match="still runs after 0 s"):
        loader.load(found)
    assert monotonic() - begun < 2


AGAIN = {
    "to its process": (0, False, []),
    "to another process, at once": (0, True, ["POST jobs", "GET jobs"]),
    "to another process, before Eventarc's shortest wait": (9.9, True, ["POST jobs", "GET jobs"]),
    "to another process, after it": (10, True, ["GET jobs"]),
}


@pytest.mark.parametrize(("seconds", "elsewhere", "expected"), AGAIN.values(), ids=AGAIN)
def test_an_event_that_comes_again_takes_one_call_at_most_when_eventarc_has_waited(
    room: Room, calls: list[str], seconds: float, elsewhere: bool, expected: list[str]
) -> None:
    first, second = room.loader(), room.loader()
    second.load(room.put(1, to_avro(bad_rows(1))))
    found = room.put(2, to_avro(bad_rows(2)))
    first.load(found)
    room.in_hours(seconds / 3600)
    calls.clear()
    (second if elsewhere else first).load(found)
    assert calls == expected and room.rows() == 3


def test_a_new_process_needs_no_table_for_an_event_that_comes_again(room: Room, calls: list[str]) -> None:
    found = room.put(1, to_avro(bad_rows(1)))
    room.loader().load(found)
    room.in_hours(1)
    calls.clear()
    room.loader().load(found)
    assert calls == ["GET jobs"]


def test_an_old_event_that_nobody_has_loaded_is_loaded(room: Room, calls: list[str]) -> None:
    found = room.put(1, to_avro(bad_rows(3)))
    room.in_hours(1)
    calls.clear()
    room.loader().load(found)
    assert calls == ["GET jobs", "GET tables", "POST jobs"] and room.rows() == 3


def test_a_manifest_takes_one_call_more(room: Room, calls: list[str]) -> None:
    part = "parts/bad/v1/q/batch=000000000002/a/part-00000.avro"
    room.storage.bucket(room.bucket).blob(part).upload_from_string(to_avro(bad_rows(2)))
    loader = room.loader()
    loader.load(room.put(1, to_avro(bad_rows(1))))
    found = room.put(2, json.dumps({"uris": [f"gs://{room.bucket}/{part}"]}).encode(), manifest=True)
    calls.clear()
    loader.load(found)
    assert calls == ["GET o", "POST jobs"] and room.rows() == 3
