"""The real job over a real broker: a skewed catch-up while the broker bounces, and two drivers on one checkpoint."""

import itertools
import json
import os
import signal
import time

import pytest
from rich.console import Console

from contract.message import to_event_time
from feeds.produce import Sender
from local import stack
from local.broker import create_topics
from local.job import wait_until
from local.points import Point, files_of, wait_for
from local.run import Run, open_warehouse
from tests.oracle import digest, judge, read_topic
from warehouse.reconcile import accounting_line

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

TOPIC = "webevent.faulty"
HOUR_MS = 3_600_000
SKEWED = (4_000, 400, 400, 400, 400, 400, 400, 400)
"""Messages of each of the eight partitions."""


@pytest.fixture
def run(request, tmp_path, monkeypatch):
    """A run on an empty cloud; its topic has as many partitions as the test says. A job that ends is started again."""
    cloud = stack.start(stack.StackSettings(state=tmp_path, deliveries=2, shuffle_seed=3, partitions=request.param))
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    create_topics(cloud.kafka_servers, [TOPIC], request.param)
    made = Run(cloud, open_warehouse(cloud), Console(quiet=True), TOPIC, tended=True)
    try:
        yield made
    finally:
        if made.job is not None:
            made.job.kill()
        cloud.stop()


def pageview(uiud, event_id, at_ms):
    fields = {"timestamp": to_event_time(at_ms), "uiud": uiud, "sessionId": "s", "eventId": event_id}
    return json.dumps({**fields, "pageUrl": f"/{event_id}", "eventType": "Pageview"}).encode()


def now_ms():
    return time.time_ns() // 1_000_000


def check_sessions(run):
    """The sessions are the oracle's, and the accounts of tables and topic balance with nothing left."""
    accounts = run.accounts()
    print(accounting_line(accounts))
    assert accounts.holds and (accounts.total.late, accounts.total.open) == (0, 0)
    rows = run.warehouse.ask("SELECT * FROM `{dataset}.sessions`")
    wanted = judge(read_topic(run.cloud.kafka_servers, run.topic))
    assert digest(rows) == digest(wanted.sessions)
    return wanted.pageviews


def send_backlog(run):
    """Three hours of each partition, evenly: all of them begin and end at the same time."""
    sender = Sender(run.cloud.kafka_servers, run.topic)
    begin_ms = now_ms() - 5 * HOUR_MS
    for partition, number in enumerate(SKEWED):
        for place in range(number):
            at_ms = begin_ms + place * 3 * HOUR_MS // number
            value = pageview(f"{partition}-{place % 20}", f"{partition}-{place}", at_ms)
            sender.send(None, value, partition=partition)
    sender.finish()


@pytest.mark.parametrize("run", [len(SKEWED)], indirect=True, ids=["8 partitions"])
def test_a_skewed_catch_up_over_a_broker_that_bounces_loses_nothing(run):
    send_backlog(run)
    cloud, job = run.cloud, run.submit("1", "--max-offsets-per-trigger", "500")
    for end in (cloud.stop_part, lambda name: cloud.process(name).kill(), cloud.stop_part):
        batches = len(job.batches())
        run.until(lambda batches=batches: len(job.batches()) >= batches + 3, "the job reads on")
        assert sum(batch["rowsIn"] for batch in job.batches() if batch["query"] == "sessions") < sum(SKEWED)
        end("broker")
        cloud.start_part("broker")
    run.settle()
    print(f"{len(job.batches())} batches, the job started again {run.restarts} times")
    assert check_sessions(run) == sum(SKEWED)


def stop_in_a_batch(run, send):
    """Send until the sessions query writes a batch, and stop the driver and its JVM there."""
    (sessions, _) = files_of(run.cloud.state.folder, run.topic, run.cloud.bucket)
    send()
    assert wait_for(Point.WRITING, (sessions,), 60)
    os.killpg(run.job.process.pid, signal.SIGSTOP)
    return sessions


@pytest.mark.parametrize("run", [3], indirect=True, ids=["3 partitions"])
def test_a_driver_that_was_stopped_and_wakes_up_behind_another_one_ends_and_doubles_nothing(run):
    sender = Sender(run.cloud.kafka_servers, run.topic)
    steps, begin_ms = itertools.count(), now_ms() - 40 * HOUR_MS

    def send():
        """A pageview an hour later: it closes the window of the one before."""
        step = next(steps)
        for visitor in range(3):
            sender.send(None, pageview(f"v{visitor}", f"{step}-{visitor}", begin_ms + step * HOUR_MS))
        sender.finish()

    first = run.submit("1")
    send()
    run.until(lambda: first.batches(), "the first driver's first batch")
    sessions = stop_in_a_batch(run, send)

    def objects():
        return len(list(sessions.bucket.glob("sessions/v1/*/*.avro")))

    published = objects()
    run.submit("1")
    try:
        for more in (1, 2):
            send()
            run.until(lambda more=more: objects() >= published + more, "the second driver goes on", 120)
        os.killpg(first.process.pid, signal.SIGCONT)

        def one_ended():
            send()
            return [job for job in (first, run.job) if job.process.poll() is not None]

        ended = wait_until(one_ended, timeout_s=180, what="one of two drivers ends", poll_s=2.0)
    finally:
        first.kill()
    print(f"ended: {[(job is first, job.process.returncode) for job in ended]}")
    unasked = [json.loads(line) for line in first.log.read_text().splitlines() if '"query ended unasked"' in line]
    print(unasked)
    assert all(job.process.returncode == 1 for job in ended) and unasked
    run.settle()
    assert check_sessions(run) == 3 * next(steps)
