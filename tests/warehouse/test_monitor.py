"""What the monitor reads of the real parts, its command, its page and its figures."""

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from cloud_functions.load import job_config
from contract.failures import ConfigError, TransientError
from contract.message import heartbeat
from contract.names import BatchObject, Kind, load_id, record_name
from local.broker import create_topics
from local.processes import pick_port
from tests.cloud_functions.conftest import bad_rows, to_avro
from tests.warehouse.conftest import bad, event, session
from warehouse.monitor.collector import to_reading
from warehouse.monitor.command import main
from warehouse.monitor.health import Bounds, Figure, Stage, Status, Verdict
from warehouse.monitor.objects import Objects
from warehouse.monitor.page import to_html, to_metrics
from warehouse.monitor.readings import Backlog
from warehouse.monitor.rows import Rows
from warehouse.monitor.server import Board, serve
from warehouse.monitor.topic import Topic
from warehouse.monitor.watch import Watch

stack = pytest.mark.stack


def now():
    return time.time()


# The topic


@pytest.fixture
def topic(kafka_servers, request):
    """A topic of two partitions: a pageview, two heartbeats, a pageview in the first, nothing in the second."""
    name = f"monitor-{time.time_ns()}"
    create_topics(kafka_servers, [name], partitions=2)
    producer = Producer({"bootstrap.servers": kafka_servers})
    for second, value in enumerate((b"{}", heartbeat(0), heartbeat(0), b"{}")):
        producer.produce(name, value, partition=0, timestamp=1_000_000 + 1000 * second)
    assert producer.flush(30) == 0
    made = Topic(kafka_servers, name)
    yield made
    made.close()


@stack
def test_a_topics_messages_and_the_time_of_its_newest(topic):
    read = topic.read()
    assert (read.spans, read.messages, read.newest_at) == ({0: (0, 4), 1: (0, 0)}, 4, 1003)


@stack
@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ({0: 4, 1: 0}, Backlog()),
        ({0: 1}, Backlog(3, 1001)),
        ({}, Backlog(4, 1000)),
    ],
    ids=["all read", "from the second message on", "none read"],
)
def test_a_query_has_not_read_what_lies_behind_its_end(topic, ends, wanted):
    assert topic.backlog(topic.spans(), ends) == wanted


@stack
def test_messages_that_kafka_has_deleted_unread_are_counted(topic):
    assert topic.backlog({0: (3, 4)}, {0: 1}) == Backlog(1, 1003, overtaken=2)


@stack
@pytest.mark.parametrize(
    ("end", "wanted"),
    [(4, Backlog()), (1, Backlog(1, 1003)), (0, Backlog(4, 1000))],
    ids=["all", "heartbeats next", "0"],
)
def test_heartbeats_are_no_backlog_of_the_archive(topic, end, wanted):
    for _ in range(2):
        assert topic.backlog_of_archive(topic.spans(), {0: end}) == wanted


@stack
def test_a_broker_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setattr("warehouse.monitor.topic.TIMEOUT_S", 1.0)
    away = Topic("127.0.0.1:1", "webevent")
    with pytest.raises(TransientError, match="Kafka at 127.0.0.1:1 does not answer"):
        away.read()
    away.close()


@stack
def test_a_topic_that_is_not_there_is_one_sentence(kafka_servers):
    nowhere = Topic(kafka_servers, "no-such-topic")
    with pytest.raises(TransientError, match="Unknown topic"):
        nowhere.read()
    nowhere.close()


# Objects and loads


def put(room, batch_id, content, kind=Kind.BAD, query="q"):
    blob = room.bucket.blob(BatchObject(kind, query, batch_id).name)
    blob.upload_from_string(content)
    return blob


def load(room, blob, attempt=0, table="bad_events"):
    """What the function does; a load that fails is no exception here."""
    job_id = load_id(table, room.bucket.name, blob.name, blob.generation, attempt)
    target = f"{room.client.project}.{room.dataset}.{table}"
    uri = f"gs://{room.bucket.name}/{blob.name}"
    return room.client.load_table_from_uri(uri, target, job_id=job_id, job_config=job_config()).exception()


@stack
def test_objects_are_waiting_until_their_load_is_done(room):
    objects = Objects(room.bucket, room.client)
    first, second = (put(room, number, to_avro(bad_rows(1))) for number in (0, 1))
    assert load(room, first) is None
    read = objects.read(now()).tables["bad_events"]
    assert (read.loads, read.failed, read.waiting) == (1, 0, 1)
    assert read.oldest_waiting_at == second.time_created.timestamp()
    assert load(room, second) is None
    assert objects.read(now()).tables["bad_events"].waiting == 0


@stack
def test_a_failed_load_counts_and_its_next_attempt_ends_the_waiting(room):
    objects = Objects(room.bucket, room.client)
    blob = put(room, 0, b"no avro")
    assert load(room, blob) is not None
    read = objects.read(now()).tables["bad_events"]
    assert (read.loads, read.failed, read.waiting) == (1, 1, 1)
    assert "invalid" in read.last_error
    blob.upload_from_string(to_avro(bad_rows(1)))
    assert load(room, blob) is None
    assert objects.read(now()).tables["bad_events"].waiting == 0


@stack
def test_a_dead_letter_stands_until_its_object_is_loaded(room):
    objects = Objects(room.bucket, room.client)
    blob = put(room, 0, b"no avro")
    letter = {"object": blob.name, "bucket": room.bucket.name}
    room.bucket.blob("dead-letter/v1/x.json").upload_from_string(json.dumps(letter))
    assert objects.read(now()).dead_letters == 1
    blob.upload_from_string(to_avro(bad_rows(1)))
    assert load(room, blob) is None
    assert objects.read(now()).dead_letters == 0


@stack
@pytest.mark.parametrize("numbers", [[0], [0, 1, 2], [5, 6, 900], [4096]], ids=str)
def test_the_newest_record_is_found_wherever_the_numbers_begin(room, numbers):
    for number in numbers:
        record(room, number, end=number)
    objects = Objects(room.bucket, room.client)
    for _ in range(2):
        assert objects.newest_record("webevent")[1].batch_id == numbers[-1]
    record(room, numbers[-1] + 1, end=9)
    assert objects.newest_record("webevent")[1].batch_id == numbers[-1] + 1


@stack
def test_records_of_another_topic_are_not_the_querys(room):
    record(room, 3, end=3)
    assert Objects(room.bucket, room.client).newest_record("webevent.backfill") is None


def record(room, batch_id, *, end, watermark_ms=0, topic="webevent"):
    fields = {
        "queryId": "q", "batchId": batch_id, "watermarkMs": watermark_ms, "lateWatermarkMs": 0,
        "offsets": {topic: {"0": [0, end]}}, "object": None, "window_s": 1800,
    }  # fmt: skip
    room.bucket.blob(record_name("q", batch_id)).upload_from_string(json.dumps(fields))


# The tables


@stack
def test_what_the_tables_say(room):
    at = datetime.now(timezone.utc)
    fresh = {"timestamp": at, "kafkaTimestamp": at}
    room.load(Kind.EVENTS, event("a", offset=4, **fresh), event("b", offset=7, **fresh, kafkaPartition=1))
    refused = {"failedAt": at, "kafkaTimestamp": at}
    room.load(Kind.BAD, {**bad(9), **refused}, {**bad(9), **refused}, {**bad(5, "missing_uiud"), **refused})
    times = {"window_start": at, "window_end": at, "firstSeen": at, "lastSeen": at}
    room.load(Kind.SESSIONS, session("a", correction=1, **times), session("b", **times))
    rows = Rows(room.client, room.dataset)
    read = rows.read(now())
    assert read.newest_event_at == read.newest_session_at == pytest.approx(at.timestamp())
    assert read.rejected_last_hour == read.rejected_today == {"undecodable": 1, "missing_uiud": 1}
    assert (read.events_last_hour, read.repaired_today) == (2, 1)
    assert rows.ends("webevent", [0, 1], now()) == ({0: 10, 1: 8}, pytest.approx(at.timestamp()))


@stack
def test_empty_tables_have_answers(room):
    rows = Rows(room.client, room.dataset)
    read = rows.read(now())
    assert (read.newest_event_at, read.events_last_hour, read.rejected_today) == (None, 0, {})
    assert rows.ends("webevent", [0], now()) == ({}, None)


# The command


@pytest.fixture
def flags(room, kafka_servers, topic):
    return ["--bucket", room.bucket.name, "--kafka-servers", kafka_servers, "--topic", topic.topic,
            "--project", "local", "--dataset", room.dataset]  # fmt: skip


@stack
def test_once_ends_with_1_and_names_the_stage_that_is_silent(flags, capsys):
    assert main([*flags, "--once", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    verdicts = {stage["stage"]: stage["verdict"] for stage in told["stages"]}
    assert (verdicts["topic"], verdicts["sessions query"], verdicts["bigquery"]) == ("silent", "silent", "ok")
    assert not told["ok"]


@stack
def test_once_ends_with_0_where_all_is_ok(flags, room, topic, capsys):
    producer = Producer({"bootstrap.servers": topic.servers})
    producer.produce(topic.topic, heartbeat(0), partition=1)
    assert producer.flush(30) == 0
    ends = {"0": [0, 4], "1": [0, 1]}
    record(room, 0, end=0)
    blob = room.bucket.blob(record_name("q", 0))
    fields = json.loads(blob.download_as_bytes()) | {"offsets": {topic.topic: ends}}
    blob.upload_from_string(json.dumps(fields))
    room.load(Kind.EVENTS, *(event(f"e{n}", offset=n, kafkaTopic=topic.topic, timestamp=datetime.now(timezone.utc))
                             for n in (0, 3)))  # fmt: skip
    assert main([*flags, "--once"]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert "archive query" in told and "The archive holds what the topic has." in told


def test_a_canary_needs_a_collector():
    with pytest.raises(ConfigError, match="--canary needs a --collector"):
        main(["--bucket", "b", "--kafka-servers", "127.0.0.1:1", "--canary", "--once"])


@stack
def test_it_serves_until_sigterm(flags):
    port = pick_port(None, "--port")
    command = [sys.executable, "-m", "cli", "monitor", *flags, "--port", str(port), "--every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert b"webevents_monitor_stage_state{" in wait_for_page(f"http://127.0.0.1:{port}/metrics", process)
        assert b"<h1>webevents:" in wait_for_page(f"http://127.0.0.1:{port}/", process)
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    lines = [json.loads(line) for line in said.splitlines()]
    told = {line["stage"] for line in lines if line["message"] == "stage" and line["verdict"] == "silent"}
    assert told == {"topic", "sessions query"}


def wait_for_page(address, process, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urlopen(address, timeout=10) as answer:
                return answer.read()
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)


def test_a_verdict_is_logged_when_it_changes_and_not_while_it_stays(caplog):
    caplog.set_level("INFO")
    watch = Watch((), None, None, None, Bounds(1, 1, 1), now)
    for verdict in (Verdict.OK, Verdict.SILENT, Verdict.SILENT, Verdict.OK, Verdict.OK):
        watch.tell(Status(0.0, [Stage("topic", verdict, "said")]))
    lines = [(line.levelname, line.stage, line.verdict, line.before) for line in caplog.records]
    assert lines == [("ERROR", "topic", "silent", "ok"), ("INFO", "topic", "ok", "silent")]


# The page

STATUS = Status(
    1_800_000_000.0,
    [
        Stage("topic", Verdict.OK, "5 messages.", "", 1_799_999_990.0, 10.0, [Figure("messages", 5)]),
        Stage(
            "bigquery", Verdict.FAILING, "The newest load failed: <b>x</b>", "a-load-job-fails",
            figures=[Figure("load_jobs", 3, {"table": "events"}), Figure("load_jobs", 4, {"table": "sessions"})],
        ),
    ],
)  # fmt: skip


def test_the_page_has_a_row_a_stage_reads_itself_again_and_has_no_script():
    page = to_html(STATUS, 30)
    assert page.count("<tr class=") == 2 and 'http-equiv="refresh" content="30"' in page
    assert "<script" not in page and "<b>x" not in page and "&lt;b&gt;x" in page
    assert "1 of 2 stages not ok" in page and "docs/runbook.md#a-load-job-fails" in page


def test_the_figures_are_read_by_a_scraper():
    samples = {
        (sample.name.removeprefix("webevents_monitor_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(to_metrics(STATUS).decode())
        for sample in family.samples
    }
    assert samples["stage_state", "bigquery", "failing"] == 1
    assert samples["stage_state", "bigquery", "ok"] == 0
    assert samples["load_jobs", "bigquery", "sessions"] == 4
    assert (samples["lag_seconds", "topic"], samples["last_event_timestamp_seconds", "topic"]) == (10, 1_799_999_990)


@pytest.mark.parametrize(
    ("path", "code", "begins"),
    [
        ("/", 200, b"<!doctype"),
        ("/status.json?x=1", 200, b"{"),
        ("/metrics", 200, b"# HELP"),
        ("/etc/passwd", 404, b"/"),
    ],
)
def test_the_server_answers(path, code, begins):
    board = Board(5, lambda: STATUS.at + 1)
    board.status = STATUS
    server = serve(board, pick_port(None, "--port"))
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=10) as answer:
            status, body = answer.status, answer.read()
    except HTTPError as error:
        with error:
            status, body = error.code, error.read()
    finally:
        server.shutdown()
        server.server_close()
    assert (status, body[: len(begins)]) == (code, begins)


def test_before_the_first_look_it_says_so():
    assert Board(5, lambda: 0.0).answer("/")[0] == 503


@pytest.mark.parametrize(("age_s", "code"), [(75, 200), (76, 503)])
def test_a_status_that_no_look_renews_is_none(age_s, code):
    board = Board(5, lambda: STATUS.at + age_s)
    board.status = STATUS
    assert {board.answer(path)[0] for path in ("/", "/status.json", "/metrics")} == {code}


def test_a_collectors_figures_are_read():
    text = """
webevents_collector_events_stored_total{at="kafka"} 5.0
webevents_collector_events_stored_total{at="spool"} 2.0
webevents_collector_events_refused_total{field="uiud"} 3.0
webevents_collector_responses_total{route="/x",status="507"} 4.0
webevents_collector_responses_total{route="/x",status="200"} 7.0
webevents_collector_spooling 1.0
webevents_collector_spool_bytes 12.0
webevents_collector_in_flight 6.0
"""
    read = to_reading(text, ready=False)
    assert (read.stored, read.refused, read.server_errors, read.spooling) == (7, {"uiud": 3}, 4, True)
    assert (read.ready, read.spool_bytes, read.in_flight, read.oldest_unacknowledged_s) == (False, 12, 6, None)
