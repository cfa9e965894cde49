"""From figures to verdicts: each row is a fact."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from warehouse.monitor import canary, judge
from warehouse.monitor.canary import STAGES, Canary, Flock, first_silent, judge_canary
from warehouse.monitor.health import Bounds, Status, Unread, Verdict
from warehouse.monitor.readings import (
    AccountsReading,
    ArchiveReading,
    Backlog,
    BucketReading,
    CollectorReading,
    RowsReading,
    SessionsReading,
    TableLoads,
    TopicReading,
)

NOW = 1_800_000_000.0
BOUNDS = Bounds(quiet_s=180, lag_s=600, load_s=300)
OK, BEHIND, SILENT, FAILING = Verdict.OK, Verdict.BEHIND, Verdict.SILENT, Verdict.FAILING
AWAY = Unread("no answer")
COLLECTOR = CollectorReading(
    ready=True, spooling=False, stored=7, refused={"uiud": 2}, server_errors=3, spool_bytes=0, in_flight=0
)
SESSIONS = SessionsReading("q", 7, NOW - 100, NOW - 400, 1800, Backlog())
ROWS = RowsReading(NOW - 60, NOW - 900, {}, {}, 10, 0)
ACCOUNTS = AccountsReading(accepted=9, late=0, open=0, missing=0, twice=0, strangers=0)


@pytest.mark.parametrize(
    ("read", "before", "verdict"),
    [
        pytest.param(COLLECTOR, None, OK, id="it answers"),
        pytest.param(AWAY, None, SILENT, id="it does not answer"),
        pytest.param(replace(COLLECTOR, spooling=True), None, BEHIND, id="it spools"),
        pytest.param(replace(COLLECTOR, ready=False, spooling=True), None, FAILING, id="its spool is full"),
        pytest.param(COLLECTOR, replace(COLLECTOR, server_errors=3), OK, id="its old errors are over"),
        pytest.param(COLLECTOR, replace(COLLECTOR, server_errors=2), FAILING, id="it has refused since the last look"),
        pytest.param(
            COLLECTOR, replace(COLLECTOR, server_errors=9), OK, id="it was started again: counters begin anew"
        ),
    ],
)
def test_collector(read, before, verdict):
    assert judge.judge_collector("collector", read, before).verdict is verdict


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        pytest.param(TopicReading({0: (0, 5)}, NOW - 180), OK, id="a message within the bound"),
        pytest.param(TopicReading({0: (0, 5)}, NOW - 181), SILENT, id="none within the bound"),
        pytest.param(TopicReading({0: (0, 0)}, None), SILENT, id="it is empty"),
        pytest.param(TopicReading({0: (0, 5)}, NOW + 90), OK, id="a producer's clock is ahead"),
        pytest.param(AWAY, FAILING, id="the broker does not answer"),
    ],
)
def test_topic(read, verdict):
    assert judge.judge_topic(read, BOUNDS, NOW).verdict is verdict


def behind(seconds, **changes):
    return replace(SESSIONS, backlog=Backlog(4, NOW - seconds), **changes)


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        pytest.param(SESSIONS, OK, id="nothing waits"),
        pytest.param(behind(600), OK, id="what waits is within the bound"),
        pytest.param(behind(601), BEHIND, id="it works and does not keep up"),
        pytest.param(behind(601, recorded_at=NOW - 601), SILENT, id="something waits and no batch comes"),
        pytest.param(
            behind(5, recorded_at=NOW - 9999), OK, id="after a long quiet the first message waits for its batch"
        ),
        pytest.param(replace(SESSIONS, recorded_at=NOW - 9999), OK, id="no batch, and nothing to read"),
        pytest.param(replace(SESSIONS, watermark_at=NOW - 2400), OK, id="the watermark is a window and a lag back"),
        pytest.param(replace(SESSIONS, watermark_at=NOW - 2401), SILENT, id="the watermark stands"),
        pytest.param(replace(SESSIONS, batch_id=0, watermark_at=0), OK, id="the first batch has no watermark"),
        pytest.param(replace(SESSIONS, backlog=Backlog(overtaken=1)), FAILING, id="retention overtook it"),
        pytest.param(None, SILENT, id="no batch was ever put on record"),
        pytest.param(AWAY, FAILING, id="the records cannot be read"),
    ],
)
def test_sessions_query(read, verdict):
    assert judge.judge_sessions(read, BOUNDS, NOW).verdict is verdict


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        pytest.param(ArchiveReading(NOW, NOW - 9999, Backlog()), OK, id="the archive is complete, however old"),
        pytest.param(ArchiveReading(NOW, NOW, Backlog(1, NOW - 900)), OK, id="on its way, within both bounds"),
        pytest.param(ArchiveReading(NOW, NOW, Backlog(1, NOW - 901)), BEHIND, id="beyond them"),
        pytest.param(
            ArchiveReading(NOW - 800, NOW, Backlog(1, NOW - 901)), OK, id="as it was when the tables were asked"
        ),
        pytest.param(None, OK, id="not asked yet"),
        pytest.param(AWAY, FAILING, id="it cannot be read"),
    ],
)
def test_archive_query(read, verdict):
    assert judge.judge_archive(read, BOUNDS).verdict is verdict


def bucket(letters=0, **table):
    return BucketReading({"events": TableLoads(**table), "sessions": TableLoads()}, letters)


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        pytest.param(bucket(), OK, id="nothing waits"),
        pytest.param(bucket(waiting=1, oldest_waiting_at=NOW - 300), OK, id="an object on its way"),
        pytest.param(bucket(waiting=1, oldest_waiting_at=NOW - 301), SILENT, id="an object that nothing loads"),
        pytest.param(
            bucket(waiting=1, oldest_waiting_at=NOW - 900, last_done_at=NOW - 10), BEHIND, id="newer ones are loaded"
        ),
        pytest.param(bucket(waiting=1, oldest_waiting_at=NOW - 86_401), FAILING, id="its event is forgotten"),
        pytest.param(bucket(letters=1), FAILING, id="a load was given up"),
        pytest.param(AWAY, FAILING, id="they cannot be read"),
    ],
)
def test_bucket_and_function(read, verdict):
    assert judge.judge_bucket(read, BOUNDS, NOW).verdict is verdict


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        pytest.param(bucket(loads=1199), OK, id="below four fifths of the limit"),
        pytest.param(bucket(loads=1200), BEHIND, id="four fifths of the limit"),
        pytest.param(bucket(loads=1500), FAILING, id="the limit of 1,500 is reached"),
        pytest.param(bucket(failed=1, last_error_at=NOW - 9, last_done_at=NOW), OK, id="a failure that is over"),
        pytest.param(bucket(failed=1, last_error_at=NOW, last_done_at=NOW - 9), FAILING, id="the newest load failed"),
        pytest.param(AWAY, FAILING, id="bigquery does not answer"),
    ],
)
def test_bigquery(read, verdict):
    assert judge.judge_loads(read, ROWS, NOW).verdict is verdict


def test_a_limit_that_is_near_names_its_table():
    assert "1,200 of 1,500 load jobs a day into events" in judge.judge_loads(bucket(loads=1200), ROWS, NOW).says


@pytest.mark.parametrize(
    ("rows", "accounts", "verdict"),
    [
        pytest.param(ROWS, ACCOUNTS, OK, id="all is accounted for"),
        pytest.param(ROWS, replace(ACCOUNTS, late=3, open=2), OK, id="late and open are no fault"),
        pytest.param(ROWS, replace(ACCOUNTS, missing=1), FAILING, id="one is missing"),
        pytest.param(ROWS, replace(ACCOUNTS, twice=1), FAILING, id="one is there twice"),
        pytest.param(ROWS, replace(ACCOUNTS, strangers=1), FAILING, id="one that nobody sent"),
        pytest.param(
            replace(ROWS, rejected_last_hour={"undecodable": 10}), None, OK, id="as many rejected as accepted"
        ),
        pytest.param(
            replace(ROWS, rejected_last_hour={"undecodable": 11}), None, FAILING, id="more rejected than accepted"
        ),
        pytest.param(None, None, OK, id="not taken yet"),
        pytest.param(AWAY, None, FAILING, id="the tables do not answer"),
        pytest.param(ROWS, AWAY, FAILING, id="the accounts cannot be taken"),
    ],
)
def test_accounts(rows, accounts, verdict):
    assert judge.judge_accounts(rows, accounts).verdict is verdict


def a_canary(*passed, seconds=0, made_ago=10_000):
    """A canary that came through these stages, the last of them `seconds` ago."""
    made = Canary("id", NOW - (seconds if not passed else made_ago))
    for stage in passed:
        made.passes(stage, NOW - seconds)
    return made


@pytest.mark.parametrize(("through", "bound"), [(0, 30), (1, 180), (2, 600), (3, 300), (4, 300)], ids=list(STAGES))
def test_a_canary_names_the_stage_that_holds_it_beyond_its_bound(through, bound):
    silent = first_silent(Flock([a_canary(*STAGES[:through], seconds=bound + 1)]), BOUNDS, NOW)
    assert silent == (STAGES[through], NOW - bound - 1)
    assert first_silent(Flock([a_canary(*STAGES[:through], seconds=bound)]), BOUNDS, NOW) is None


def test_of_several_silent_stages_the_first_on_the_way_is_named():
    flock = Flock([a_canary("streaming", seconds=9000), a_canary("collector", seconds=200)])
    assert first_silent(flock, BOUNDS, NOW) == ("topic", NOW - 200)


def test_while_bigquery_does_not_answer_the_function_is_not_blamed():
    flock = Flock([a_canary("streaming", seconds=301)], warehouse_answers=False)
    assert first_silent(flock, BOUNDS, NOW) == ("warehouse", NOW - 301)


def test_a_canary_that_arrived_tells_its_time_in_each_stage():
    made = Canary("id", 100.0)
    for stage, at in zip(STAGES, (101, 103, 110, 111, 115), strict=True):
        made.passes(stage, at)
    assert made.latencies() == dict(zip(STAGES, (1, 2, 7, 1, 4), strict=True))
    assert made.waits_for is None
    stage = judge_canary(Flock([], made, 1, 1), BOUNDS, 116)
    assert (stage.verdict, stage.last_at) == (OK, 115)
    assert "took 15 s: collector 1.0 s, topic 2.0 s, streaming 7.0 s" in stage.says


def test_a_canary_that_was_seen_late_on_its_way_was_through_the_stages_before():
    made = Canary("id", 100.0)
    made.passes("streaming", 110.0)
    assert made.waits_for == ("bucket, function", 110.0)


def test_a_clock_that_is_behind_makes_no_negative_latency():
    made = Canary("id", 100.0)
    made.passes("collector", 99.0)
    assert made.latencies() == {"collector": 0.0}


def test_one_stage_that_is_not_ok_is_enough():
    good = judge.judge_topic(TopicReading({0: (0, 5)}, NOW), BOUNDS, NOW)
    assert Status(NOW, [good]).holds
    assert not Status(NOW, [good, replace(good, verdict=BEHIND)]).holds


ROOT = Path(__file__).parents[2]


def test_every_anchor_that_a_verdict_names_is_in_the_runbook():
    headings = re.findall(r"^##+ (.+)$", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    source = (ROOT / "warehouse/monitor/judge.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+){1,})"', source)) | set(canary.ANCHORS.values())
    assert len(named) > 10
    assert named - anchors == set()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2.0 h"), (172_800, "2.0 d")]
)
def test_a_length_of_time_in_the_unit_that_fits(seconds, told):
    assert judge.span(seconds) == told
