"""From a row of sessions back to Kafka, over real objects, real load jobs and the records that the job leaves."""

import io
import json
from datetime import timedelta

import fastavro
import pytest

from cloud_functions.load import job_config
from contract.failures import ConfigError, WebeventsError
from contract.names import CORRECTIONS, BatchObject, Kind, batch_key, load_id, record_name
from contract.schemas import schema
from tests.warehouse.conftest import at, bad, event, session
from warehouse.explain import main

pytestmark = pytest.mark.stack
CLOSED_MS = int(at(60).timestamp() * 1000)


def publish(room, kind, batch_id, *rows, query="q", failures=0):
    """The batch's object and its load, as the job and the function make them; `failures` attempts fail before."""
    batch = BatchObject(kind, query, batch_id)
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema(kind.schema)), rows)
    blob = room.bucket.blob(batch.name)
    blob.upload_from_string(file.getvalue())
    blob.reload()
    table, uri = f"local.{room.dataset}.{kind.table}", f"gs://{room.bucket.name}/{batch.name}"
    for attempt in range(failures + 1):
        job_id = load_id(kind.table, room.bucket.name, batch.name, blob.generation, attempt)
        source = uri if attempt == failures else f"{uri}.gone"
        job = room.client.load_table_from_uri(source, table, job_id=job_id, job_config=job_config())
        assert job.exception() is None or attempt < failures
    return {"uri": uri, "generation": blob.generation, "job": job_id}


def record(room, batch_id, start, end, *, late_ms=0):
    """The batch's record."""
    fields = {
        "queryId": "q", "batchId": batch_id, "watermarkMs": CLOSED_MS, "lateWatermarkMs": late_ms,
        "offsets": {"webevent": {"0": [start, end]}}, "object": None, "rows": 0, "pageviews": 0,
        "window_s": 1800, "delay_s": 200,
    }  # fmt: skip
    room.bucket.blob(record_name("q", batch_id)).upload_from_string(json.dumps(fields))


@pytest.fixture
def told(room):
    """One session of two pageviews, one of them sent twice; one late, one open, one lost, one refused, one custom."""
    received_ms = int(at(1).timestamp() * 1000) + 40
    room.archived = publish(
        room, Kind.EVENTS, 0,
        event("a", 1, offset=0, receivedAt=received_ms), event("b", 2, offset=1), event("b", 2, offset=2),
        event("lost", 3, offset=3), event("click", 3, offset=4, eventType="Click"),
        event("late", 4, offset=7, uiud="v", sessionId="t"), event("open", 61, offset=8),
    )  # fmt: skip
    room.published = publish(room, Kind.SESSIONS, 0, session("a", "b"), failures=1)
    publish(room, Kind.BAD, 0, {**bad(5, "missing_page_url"), "eventId": "refused"})
    record(room, 0, 0, 7)
    record(room, 1, 7, 9, late_ms=CLOSED_MS)
    return room


def flags(room, *more):
    return ["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, *more]


def explain(room, capsys, given, *more):
    """The story of one id; the exit code is 0."""
    assert main([given, *flags(room, "--json", *more)]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("given", ["u", "s", "a", "b"])
def test_a_row_is_found_by_its_visitor_its_session_and_each_pageview(told, capsys, given):
    (row,) = explain(told, capsys, given)["sessions"]
    assert (row["uiud"], row["sessionId"], row["Pageviews"], row["correction"]) == ("u", "s", 2, 0)
    assert (row["window_start"], row["window_end"]) == ("2026-01-02T10:00:00.000Z", "2026-01-02T10:30:00.000Z")


def test_a_row_names_its_object_and_each_attempt_to_load_it(told, capsys):
    (row,) = explain(told, capsys, "u")["sessions"]
    made = row["object"]
    assert (made["uri"], made["generation"]) == (told.published["uri"], told.published["generation"])
    assert made["createdAt"].endswith("Z")
    failed, loaded = row["loads"]
    assert failed["error"].startswith("notFound")
    assert (loaded["job"], loaded["state"], loaded["rows"]) == (told.published["job"], "DONE", 1)


def test_a_row_names_the_offsets_and_the_watermark_of_its_batch(told, capsys):
    (row,) = explain(told, capsys, "u")["sessions"]
    assert row["batch"] == {
        "queryId": "q", "batchId": 0, "offsets": {"webevent": {"0": [0, 7]}},
        "watermark": "2026-01-02T11:00:00.000Z", "lateWatermark": "1970-01-01T00:00:00.000Z",
    }  # fmt: skip


def test_each_pageview_has_its_place_in_kafka_and_its_file(told, capsys):
    (row,) = explain(told, capsys, "u")["sessions"]
    first, second = row["pageviews"]
    (copy,) = first["copies"]
    assert (first["eventId"], first["page"], first["sentAgain"]) == ("a", "/a", 0)
    assert (copy["place"], copy["inKafkaAt"]) == ("webevent/0/0", "2026-01-02T10:01:00.000Z")
    assert (copy["receivedAt"], copy["object"]["uri"]) == ("2026-01-02T10:01:00.040Z", told.archived["uri"])
    assert second["sentAgain"] == 1
    assert [copy["place"] for copy in second["copies"]] == ["webevent/0/1", "webevent/0/2"]


@pytest.mark.parametrize(
    ("given", "fate"),
    [
        pytest.param("late", "late", id="read after the watermark had passed its window"),
        pytest.param("open", "open", id="of a window that is not closed"),
        pytest.param("lost", "lost", id="read in time and in no row"),
        pytest.param("click", None, id="no pageview"),
    ],
)
def test_an_event_in_no_row_has_reconciles_fate(told, capsys, given, fate):
    found = explain(told, capsys, given)
    (unheld,) = found["in_no_session"]
    assert (found["sessions"], unheld["eventId"], unheld["fate"]) == ([], given, fate)
    assert unheld["copies"][0]["object"]["uri"] == told.archived["uri"]


def test_a_visitors_story_has_the_events_that_no_row_holds(told, capsys):
    found = explain(told, capsys, "u")
    assert [unheld["eventId"] for unheld in found["in_no_session"]] == ["click", "lost", "open"]


def test_a_refused_message_has_its_reason(told, capsys):
    (refused,) = explain(told, capsys, "refused")["rejected"]
    assert (refused["reason"], refused["stage"], refused["place"]) == (
        "missing_page_url", "streaming", "webevent/0/5"
    )  # fmt: skip
    assert refused["object"]["uri"].endswith("/bad/v1/q/batch=000000000000.avro")


def test_a_correction_has_an_object_and_no_batch_of_the_stream(told, capsys):
    appended = session("late", uiud="v", sessionId="t", correction=1, batchKey=batch_key(CORRECTIONS, 1))
    made = publish(told, Kind.SESSIONS, 1, appended, query=CORRECTIONS)
    (row,) = explain(told, capsys, "v")["sessions"]
    assert (row["correction"], row["batch"], row["object"]["uri"]) == (1, None, made["uri"])
    assert [load["job"] for load in row["loads"]] == [made["job"]]
    assert main(["v", *flags(told)]) == 0
    assert "a correction is no batch of the stream" in capsys.readouterr().out


def test_rows_whose_evidence_is_gone_are_told_all_the_same(room, capsys):
    room.load(Kind.SESSIONS, session("a"), session("b", batchKey="by hand", sessionId="other"))
    known, by_hand = explain(room, capsys, "u")["sessions"][::-1]
    assert known["object"]["generation"] is None
    assert (by_hand["object"], by_hand["loads"], by_hand["batch"]) == (None, [], None)
    assert by_hand["pageviews"][0]["copies"] == []
    assert main(["u", *flags(room)]) == 0
    out = capsys.readouterr().out
    assert "not in the bucket (any more)" in out
    assert "none of the contract's names for batchKey by hand" in out
    assert "not in the archive" in out


def test_the_output_is_bounded_and_counts_the_rest(room, capsys):
    rows = [session(*(f"e{n}-{m}" for m in range(3)), sessionId=f"s{n}", batch=n) for n in range(4)]
    room.load(Kind.SESSIONS, *rows)
    room.load(Kind.EVENTS, *(event(f"open{n}", 3, offset=n) for n in range(3)))
    found = explain(room, capsys, "u", "--limit", "2")
    assert (found["sessions_rows"], len(found["sessions"])) == (4, 2)
    assert (found["sessions"][0]["Pageviews"], len(found["sessions"][0]["pageviews"])) == (3, 2)
    assert (found["events_in_no_session"], len(found["in_no_session"])) == (3, 2)
    assert main(["u", *flags(room, "--limit", "2")]) == 0
    out = capsys.readouterr().out
    assert "and 2 more rows of sessions; --limit shows more" in out
    assert "and 1 more pageviews of this row; --limit shows more" in out
    assert "and 1 more events in no row of sessions; --limit shows more" in out


def test_the_pageview_asked_about_is_shown_first(room, capsys):
    room.load(Kind.SESSIONS, session("a", "b", "c"))
    (row,) = explain(room, capsys, "c", "--limit", "1")["sessions"]
    assert [pageview["eventId"] for pageview in row["pageviews"]] == ["c"]


def test_a_pageview_in_two_rows_is_told_to_be_counted_twice(told, capsys):
    told.load(Kind.SESSIONS, session("a", batch=9))
    assert main(["a", *flags(told)]) == 0
    assert "In more than one row of sessions: a. It is counted twice." in capsys.readouterr().out


def test_the_tables_say_the_same_to_people(told, capsys):
    assert main(["u", *flags(told)]) == 0
    out = capsys.readouterr().out
    for said in (
        "Row 1 of 1 in sessions",
        "2026-01-02 10:00 to 10:30 UTC, Pageviews 2",
        f"{told.published['uri']}, generation {told.published['generation']}, made ",
        f"{told.published['job']}: DONE, ended ",
        "q/000000000000: read webevent/0 0 to 6; closed windows up to watermark 2026-01-02 11:00:00.000",
        "2026-01-02 10:01:00.040",
        "In no row of sessions: lost",
        "q/000000000000; late in it: nothing",
        "q/000000000001; late in it: windows that end by 2026-01-02 11:00:00.000",
        "lost: read in time",
    ):
        assert said in out


def test_a_text_that_a_sender_chose_cannot_command_the_terminal(room, capsys):
    page = "/\x1b[2J\u202e[bold]"
    room.load(Kind.SESSIONS, session("a", Pages=[page]))
    assert main(["a", *flags(room)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "/\\x1b[2J\\u202e[bold]" in out


@pytest.mark.parametrize("given", ["nobody", "' OR TRUE --", "`", "\\' OR 1=1"])
def test_an_id_that_nothing_knows_is_one_sentence(told, given):
    with pytest.raises(WebeventsError, match="is no uiud, sessionId or eventId in dataset") as raised:
        main([given, *flags(told)])
    assert raised.value.exit_code == 1


def test_the_period_bounds_what_is_found(told, capsys):
    day = at(0).date()
    assert explain(told, capsys, "u", "--from", f"{day}", "--to", f"{day}")["sessions_rows"] == 1
    with pytest.raises(WebeventsError, match="is no uiud"):
        main(["u", *flags(told), "--from", f"{day + timedelta(days=1)}"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param([], "ID: required", id="no id"),
        pytest.param(["a", "b"], "want one ID", id="two ids"),
        pytest.param(["a", "--dataset", "x`; DROP"], "want letters, digits and _", id="a dataset that is none"),
        pytest.param(["a", "--bucket", "no-such-bucket"], "--bucket no-such-bucket: ", id="a bucket that is not there"),
        pytest.param(["a", "--dataset", "nowhere"], "webevents warehouse apply", id="a dataset that is not there"),
    ],
)
def test_a_fault_of_the_operator_is_one_sentence(room, words, said):
    with pytest.raises(ConfigError, match=said):
        main([*flags(room), *words])
