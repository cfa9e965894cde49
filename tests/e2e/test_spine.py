"""From Kafka to the table through all real parts, every storage event delivered three times and out of order."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from contract.names import BACKFILL_TOPIC
from local import stack, visitors
from local.broker import create_topics
from local.demo import backfill
from local.plan import Fate, expect, send
from local.run import STEP_S, Run, open_warehouse
from tests.oracle import digest, dump, judge, read_topic
from warehouse import explain, replay
from warehouse.repair import repair
from warehouse.tables import Tables

ROOT = Path(__file__).parents[2]
LOG = ROOT.parent / "shared" / "data" / "access_log_2015-05-17_18.log"
DELIVERIES = 3
DAYS_OF_THE_PLAN = """
SELECT CAST(DATE(window_start) AS STRING) AS day FROM `{dataset}.sessions`
WHERE window_start >= '2016-01-01' GROUP BY day ORDER BY day"""
PLANNED = "webevent.planned"
"""A topic without the collector's heartbeats: a plan has a clock of its own, of the hours before now."""

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    state = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patched:
        started = stack.start(stack.StackSettings(state=state, deliveries=DELIVERIES, shuffle_seed=11))
        for name, value in started.environment().items():
            patched.setenv(name, value)
        yield started
        started.stop()


def run_on(cloud, topic):
    return Run(cloud, open_warehouse(cloud), Console(quiet=True), topic)


@pytest.fixture(scope="module")
def backfilled(cloud):
    """The access log, through the backfill topic."""
    if not LOG.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{LOG} is not there")
    run = run_on(cloud, BACKFILL_TOPIC)
    backfill(run, str(LOG), "")
    run.until(lambda: not run.warehouse.waiting(), "loading the published files")
    return run


@pytest.fixture(scope="module")
def visited(cloud, backfilled):
    """Simulated visitors on a topic of the same cloud; the run and the plan that it followed."""
    create_topics(cloud.kafka_servers, [PLANNED])
    run = run_on(cloud, PLANNED)
    plan = list(visitors.simulate(3, pageviews=3_000, start_ms=time.time_ns() // 1_000_000))
    try:
        follow(run, plan)
    finally:
        run.job.kill()
    run.until(lambda: not run.warehouse.waiting(), "loading the published files")
    return run, plan


def follow(run, plan):
    """Send the plan while the job runs: phase by phase, so that late ones are late."""
    job = run.submit("2")
    for phase in (1, 2):
        send([planned for planned in plan if planned.phase == phase], run.cloud.kafka_servers, run.topic)
        wanted_ms = visitors.watermark_after(plan, phase)
        run.until(lambda wanted_ms=wanted_ms: run.has_reached(wanted_ms), f"the Spark job reads phase {phase}")
    run.until(lambda: not run.accounts().total.open, "the last windows close and load")
    job.stop()


def rows_of(run, topic):
    """The rows of sessions that the queries on `topic` wrote."""
    question = f"""
    SELECT sessions.* FROM `{{dataset}}.sessions` AS sessions
    WHERE sessions.eventIds[OFFSET(0)] IN (
      SELECT eventId FROM `{{dataset}}.events` WHERE kafkaTopic = '{topic}'
    )"""
    return run.warehouse.ask(question)


def test_sessions_of_the_access_log_are_the_oracles(cloud, backfilled):
    wanted = judge(read_topic(cloud.kafka_servers, BACKFILL_TOPIC)).sessions
    rows = rows_of(backfilled, BACKFILL_TOPIC)
    assert len(rows) == len(wanted) > 500
    assert dump(rows) == dump(wanted)
    assert digest(rows) == digest(wanted)


def test_every_window_of_the_access_log_is_closed_and_accounted_for(backfilled):
    accounts = backfilled.accounts()
    assert accounts.holds
    assert accounts.total.open == accounts.total.late == 0


def test_every_event_came_three_times_and_was_loaded_once(cloud, backfilled):
    published = [batch.name for batch in backfilled.warehouse.published()]
    loads = [job for job in backfilled.warehouse.client.list_jobs(all_users=True) if job.job_type == "load"]
    assert len(loads) == len(published) > 0
    said = (cloud.state.folder / "logs" / "function.log").read_text()
    heard = Counter(name for name in published for _ in range(said.count(f'/{name}"')))
    assert all(heard[name] >= DELIVERIES for name in published)


def message_at(servers, place):
    """The value of one message, by its topic/partition/offset."""
    topic, partition, offset = place.rsplit("/", 2)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "spine", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, int(partition), int(offset))])
        return consumer.poll(30).value()
    finally:
        consumer.close()


def test_a_row_is_explained_down_to_its_offsets(cloud, backfilled, capsys):
    row = max(rows_of(backfilled, BACKFILL_TOPIC), key=lambda row: row["Pageviews"])
    flags = ["--bucket", cloud.bucket, "--project", cloud.project, "--dataset", cloud.dataset]
    assert explain.main([row["eventIds"][0], *flags, "--limit", "100", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["sessions"]
    (load,) = told["loads"]
    assert told["object"]["uri"] == f"gs://{cloud.bucket}/sessions/v1/{row['batchKey'].replace('/', '/batch=')}.avro"
    assert (load["state"], load["error"]) == ("DONE", None) and load["rows"] > 0
    assert [pageview["eventId"] for pageview in told["pageviews"]] == row["eventIds"]
    for pageview in told["pageviews"]:
        (copy,) = pageview["copies"]
        assert json.loads(message_at(cloud.kafka_servers, copy["place"]))["pageUrl"] == pageview["page"]
        assert copy["object"]["generation"]


def replayed(cloud, capsys, first_day, last_day):
    """Exit code and outcome of a replay of these days."""
    flags = ["--bucket", cloud.bucket, "--project", cloud.project, "--dataset", cloud.dataset, "--json"]
    code = replay.main([*flags, "--from", first_day, "--to", last_day])
    return code, json.loads(capsys.readouterr().out)


def test_two_replays_of_the_access_log_are_equal_and_differ_in_nothing(cloud, backfilled, capsys):
    code, found = replayed(cloud, capsys, "2015-05-17", "2015-05-18")
    assert (code, found["equal"], found["leftOut"], found["keys"]) == (0, True, [], {})
    assert found["replayed"]["rows"] == len(rows_of(backfilled, BACKFILL_TOPIC))
    assert replayed(cloud, capsys, "2015-05-17", "2015-05-18") == (code, found)
    made = backfilled.warehouse.ask(f"SELECT * FROM `{cloud.dataset}_replay.sessions`")
    assert dump(made) == dump(rows_of(backfilled, BACKFILL_TOPIC))


def test_a_batch_that_is_replayed_changes_nothing(cloud, backfilled):
    commits = cloud.state.folder / "checkpoint" / BACKFILL_TOPIC / "sessions" / "commits"
    last = max((path for path in commits.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    before = dump(rows_of(backfilled, BACKFILL_TOPIC))
    objects = sorted(batch.name for batch in backfilled.warehouse.published())
    assert any(name.endswith(f"batch={int(last.name):012d}.avro") for name in objects)
    for path in (last, commits / f".{last.name}.crc"):
        path.unlink()
    backfilled.submit("available-now").wait(STEP_S)
    assert last.exists()
    backfilled.until(lambda: not cloud.undelivered(), "every event is answered")
    assert sorted(batch.name for batch in backfilled.warehouse.published()) == objects
    assert dump(rows_of(backfilled, BACKFILL_TOPIC)) == before


def test_sessions_of_simulated_visitors_are_the_oracles(cloud, visited):
    run, plan = visited
    late = {planned.value for planned in plan if planned.fate is Fate.LATE}
    messages = read_topic(cloud.kafka_servers, PLANNED)
    wanted = judge(message for message in messages if message.value not in late).sessions
    assert dump(rows_of(run, PLANNED)) == dump(wanted)


def test_the_accounts_of_simulated_visitors_are_the_plans(visited):
    run, plan = visited
    accounts, wanted = run.accounts(), expect(plan)
    reasons = {f"rejected.{reason}": number for reason, number in accounts.rejected_by_reason.items()}
    assert accounts.holds
    assert reasons == {name: number for name, number in wanted.items() if name.startswith("rejected.")}
    assert (accounts.total.late, accounts.total.open) == (wanted["late"], 0)
    (topic,) = accounts.topics
    assert (topic.messages, topic.heartbeats) == (wanted["messages"], wanted["heartbeat"])


def test_late_pageviews_are_repaired_through_the_bucket_and_the_function(cloud, visited, capsys):
    run, _ = visited
    before = run.accounts()
    done = repair(Tables(run.warehouse.client, cloud.dataset), run.warehouse.bucket)
    assert sum(made.pageviews for made in done.made) == before.total.late > 0
    run.until(lambda: not run.accounts().total.late, "loading the correction")
    after = run.accounts()
    assert after.holds
    assert after.pageviews_in_sessions == before.pageviews_in_sessions + before.total.late
    assert repair(Tables(run.warehouse.client, cloud.dataset), run.warehouse.bucket).made == []
    days = [row["day"] for row in run.warehouse.ask(DAYS_OF_THE_PLAN)]
    code, found = replayed(cloud, capsys, days[0], days[-1])
    assert (code, found["equal"], found["leftOut"]) == (0, True, [])
    made = run.warehouse.ask(f"SELECT * FROM `{cloud.dataset}_replay.sessions`")
    assert dump(made) == dump(judge(read_topic(cloud.kafka_servers, PLANNED)).sessions)
