"""The canary on a whole local cloud: each part that is killed is named, and no other.

The Spark job's place is taken by `publish`, which makes the archive's object out of what the topic holds.
"""

import io
import json
import time
from datetime import datetime, timezone
from itertools import count

import fastavro
import pytest
from google.cloud.storage import Client as StorageClient

from contract.failures import TransientError
from contract.names import TOPIC, BatchObject, Kind
from contract.schemas import schema
from local import stack
from tests.oracle import read_topic
from tests.warehouse.conftest import event
from warehouse.monitor.canary import first_silent
from warehouse.monitor.command import MonitorSettings, build_watch
from warehouse.monitor.health import Bounds, Verdict
from warehouse.monitor.watch import settled

pytestmark = [pytest.mark.stack, pytest.mark.slow]

BOUNDS = Bounds(quiet_s=2, lag_s=4, load_s=3)
BATCHES = count()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        started = stack.start(stack.StackSettings(state=tmp_path_factory.mktemp("cloud")))
        for name, value in started.environment().items():
            patched.setenv(name, value)
        patched.setattr("warehouse.monitor.canary.COLLECTOR_S", 5.0)
        patched.setattr("warehouse.monitor.collector.TIMEOUT_S", 4.0)
        patched.setattr("warehouse.monitor.topic.TIMEOUT_S", 2.0)
        patched.setattr("warehouse.monitor.objects.RETRY_S", 1.0)
        patched.setattr("warehouse.monitor.follow.PEEK_S", 0.5)
        yield started
        started.stop()


@pytest.fixture
def watch(cloud):
    settings = MonitorSettings(
        bucket=cloud.bucket, kafka_servers=cloud.kafka_servers, collector=(cloud.collector_url,), canary=True,
        tables_every=0, accounts_every=0, project=cloud.project, dataset=cloud.dataset,
    )  # fmt: skip
    made = build_watch(settings)
    made.bounds = BOUNDS
    yield made
    made.topic.close()


def look_until(watch, condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition(status := watch.look()):
        assert time.monotonic() < deadline, status.to_json()
    return status


def silent(watch):
    """The first silent stage by name."""
    found = first_silent(watch.follower.flock, watch.bounds, watch.now())
    return found[0] if found else None


def publish(cloud):
    """What the archive query does: all canaries of the topic, as the object of a new batch."""
    batch = BatchObject(Kind.EVENTS, "archive", next(BATCHES))
    now = datetime.now(timezone.utc)
    canary = {"eventType": "Canary", "uiud": "canary", "timestamp": now, "kafkaTimestamp": now}
    rows = [
        event(json.loads(value)["eventId"], offset=offset, batchKey=batch.batch_key, **canary)
        for offset, value in enumerate(values(cloud))
        if json.loads(value)["eventType"] == "Canary"
    ]
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema(Kind.EVENTS.schema)), rows)
    bucket = StorageClient(project="local").bucket(cloud.bucket)
    bucket.blob(batch.name).upload_from_string(file.getvalue(), if_generation_match=0)


def values(cloud):
    """The topic's messages."""
    return [message.value for message in read_topic(cloud.kafka_servers, TOPIC)]


def test_a_canary_arrives_and_tells_its_way(cloud, watch):
    look_until(watch, lambda _: watch.follower.open and watch.follower.open[0].passed("topic"))
    assert watch.follower.open[0].waits_for[0] == "streaming"
    publish(cloud)
    status = look_until(watch, lambda _: watch.follower.arrived == 1)
    stage = status.stages[-1]
    assert (stage.name, stage.verdict) == ("canary", Verdict.OK)
    assert set(watch.follower.last.latencies()) == {"collector", "topic", "streaming", "bucket, function", "warehouse"}
    assert settled(watch.follower, watch.bounds, watch.now())
    rows = watch.rows.client.query_and_wait(f"SELECT COUNT(*) AS n FROM `{cloud.dataset}.events` WHERE uiud = 'canary'")
    assert next(iter(rows)).n == 1


def test_a_canary_that_is_beyond_the_broker_arrives_while_the_broker_is_away(cloud, watch, monkeypatch):
    look_until(watch, lambda _: watch.follower.open and watch.follower.open[0].passed("topic"))

    def away():
        raise TransientError("no broker")

    monkeypatch.setattr(watch.topic, "spans", away)
    watch.follower.made_at = 0
    watch.look()
    publish(cloud)
    look_until(watch, lambda _: watch.follower.arrived, timeout_s=20)


def test_a_collector_that_is_killed_is_named(cloud, watch):
    cloud.process("collector").kill()
    try:
        status = look_until(watch, lambda _: silent(watch))
        assert silent(watch) == "collector"
        assert status.stages[0].verdict is Verdict.SILENT
        assert watch.follower.posted == 0
    finally:
        cloud.start_part("collector")
    look_until(watch, lambda _: watch.follower.posted == 1)


def test_a_broker_that_is_killed_is_named(cloud, watch):
    watch.look()
    cloud.process("broker").kill()
    watch.follower.made_at = 0
    watch.follower.open.clear()
    try:
        status = look_until(watch, lambda seen: silent(watch) and seen.stages[0].verdict is not Verdict.OK)
        assert silent(watch) == "topic"
        verdicts = {stage.name: stage.verdict for stage in status.stages}
        assert (verdicts["collector"], verdicts["topic"]) == (Verdict.BEHIND, Verdict.FAILING)
    finally:
        cloud.start_part("broker")
    look_until(watch, lambda _: watch.follower.open[0].passed("topic"))


def test_a_job_that_does_not_run_is_named(cloud, watch):
    look_until(watch, lambda _: silent(watch))
    assert silent(watch) == "streaming"


def test_a_function_that_is_killed_is_named(cloud, watch):
    cloud.process("function").kill()
    try:
        look_until(watch, lambda _: watch.follower.open[0].passed("topic"))
        publish(cloud)
        status = look_until(watch, lambda _: silent(watch))
        assert silent(watch) == "bucket, function"
        verdicts = {stage.name: stage.verdict for stage in status.stages}
        assert verdicts["bucket, function"] is Verdict.SILENT
        assert "SILENT: bucket, function" in status.stages[-1].says
    finally:
        cloud.start_part("function")
    look_until(watch, lambda _: watch.follower.arrived == 1)


def test_a_warehouse_that_is_killed_is_named(cloud, watch):
    watch.look()
    look_until(watch, lambda _: watch.follower.open[0].passed("topic"))
    cloud.process("warehouse").kill()
    try:
        publish(cloud)
        status = look_until(watch, lambda _: silent(watch))
        assert silent(watch) == "warehouse"
        verdicts = {stage.name: stage.verdict for stage in status.stages}
        assert verdicts["bigquery"] is Verdict.FAILING
    finally:
        cloud.start_part("warehouse")
    look_until(watch, lambda _: watch.follower.arrived == 1)
