"""Late pageviews with the product's own window and watermark: each is in sessions, or in a correction, once."""

import json
import time
from collections import Counter
from typing import NamedTuple

import pytest
from rich.console import Console

from contract.message import to_event_time
from feeds.produce import Sender
from local import stack
from local.broker import create_topics
from local.run import Run, open_warehouse
from warehouse.reconcile import accounting_line, main
from warehouse.repair import repair
from warehouse.tables import Tables

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

TOPIC = "webevent.stragglers"
WINDOW_MS, DELAY_MS = 1_800_000, 200_000


class Straggler(NamedTuple):
    """A pageview so many seconds behind the newest event that was read before it."""

    behind_s: int
    late: bool


STRAGGLERS = {
    "199 s": Straggler(199, late=False), "201 s": Straggler(201, late=True), "1 h": Straggler(3_600, late=True),
    "1 day": Straggler(86_400, late=True),
}  # fmt: skip


class Clock:
    """Event times, all some hours ago. The watermark is DELAY_MS behind the newest event, and moves between batches.

    199 s: the last second of a window, when the watermark stands 1 s before that window's end.
    201 s: the last second of another one, when the watermark stands at its end, which closes it.
    """

    def __init__(self, now_ms: int) -> None:
        end_ms = now_ms // WINDOW_MS * WINDOW_MS - 6 * WINDOW_MS
        self.newest_ms = {"first": end_ms - 1_000 + 199_000, "second": end_ms + 2 * WINDOW_MS - 1_000 + 201_000}

    def at(self, name: str) -> int:
        """When the straggler happened."""
        newest = "second" if STRAGGLERS[name].late else "first"
        return self.newest_ms[newest] - STRAGGLERS[name].behind_s * 1_000

    def company_at(self, name: str) -> int:
        """In the same window: a pageview of the same visitor that comes in time."""
        return self.at(name) // WINDOW_MS * WINDOW_MS


def pageview(uiud: str, event_id: str, at_ms: int) -> bytes:
    fields = {"timestamp": to_event_time(at_ms), "uiud": uiud, "sessionId": "s", "eventId": event_id}
    return json.dumps({**fields, "pageUrl": f"/{event_id}", "eventType": "Pageview"}).encode()


def send(run, *values):
    """Send one after another, each acknowledged before the next."""
    sender = Sender(run.cloud.kafka_servers, run.topic)
    for value in values:
        sender.send(None, value)
        sender.finish()


def wait_for_watermark(run, newest_ms):
    run.until(lambda: run.has_reached(newest_ms - DELAY_MS), "the watermark moves")


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """All windows closed and loaded, nothing repaired yet. Every storage event came three times and shuffled."""
    with pytest.MonkeyPatch.context() as patched:
        state = tmp_path_factory.mktemp("late")
        cloud = stack.start(stack.StackSettings(state=state, deliveries=3, shuffle_seed=5))
        for name, value in cloud.environment().items():
            patched.setenv(name, value)
        run = Run(cloud, open_warehouse(cloud), Console(quiet=True), TOPIC)
        try:
            create_topics(cloud.kafka_servers, [TOPIC])
            yield follow(run)
        finally:
            if run.job is not None:
                run.job.kill()
            cloud.stop()


def follow(run):
    """Company and newest event, then the stragglers behind it: twice, and each one once more, as a retry."""
    clock = Clock(time.time_ns() // 1_000_000)
    run.submit("1", "--shuffle-partitions", "2")
    by_time = sorted(STRAGGLERS, key=lambda name: clock.company_at(name))
    early = [name for name in by_time if clock.company_at(name) < clock.newest_ms["first"]]
    send(run, *[pageview(name, f"{name} in time", clock.company_at(name)) for name in early])
    for newest, late in (("first", False), ("second", True)):
        names = [name for name in by_time if STRAGGLERS[name].late is late]
        send(run, *[
            pageview(name, f"{name} in time", clock.company_at(name)) for name in names if name not in early
        ])  # fmt: skip
        send(run, pageview("newest", newest, clock.newest_ms[newest]))
        wait_for_watermark(run, clock.newest_ms[newest])
        values = [pageview(name, name, clock.at(name)) for name in names]
        send(run, *values, *values)
    run.settle()
    run.job.stop()
    return run


def places(run):
    """eventId -> numbers of the rows that hold it, 0 for a row of the stream, else the correction's."""
    question = "SELECT correction, eventIds FROM `{dataset}.sessions`"
    found = Counter((event_id, row.correction) for row in run.warehouse.ask(question) for event_id in row.eventIds)
    assert set(found.values()) <= {1}
    return {event_id: [number for other, number in found if other == event_id] for event_id, _ in found}


def test_each_straggler_is_in_sessions_or_after_repair_in_a_correction_exactly_once(streamed, capsys):
    run = streamed
    late = {name for name, straggler in STRAGGLERS.items() if straggler.late}
    in_time = {"first", "second", *STRAGGLERS} - late | {f"{name} in time" for name in STRAGGLERS}
    before = run.accounts()
    assert before.holds and (before.total.late, before.total.open) == (len(late), 0)
    assert places(run) == {name: [0] for name in in_time}
    tables = Tables(run.warehouse.client, run.warehouse.dataset)
    (made,) = repair(tables, run.warehouse.bucket).made
    assert (made.pageviews, made.rows) == (len(late), len(late))
    run.until(lambda: not run.warehouse.waiting(), "the correction loads")
    after = run.accounts()
    assert after.holds and (after.total.late, after.total.open) == (0, 0)
    repaired = {name: [0] for name in in_time} | {name: [made.number] for name in late}
    assert places(run) == repaired
    again = repair(tables, run.warehouse.bucket)
    assert (again.made, again.waiting) == ([], {})
    run.until(lambda: not run.cloud.undelivered(), "every event is answered")
    assert places(run) == repaired
    flags = ["--bucket", run.cloud.bucket, "--project", run.cloud.project, "--dataset", run.cloud.dataset]
    assert main([*flags, "--repair"]) == 0
    assert "repair: nothing to append" in capsys.readouterr().out
    with capsys.disabled():
        told = {name: "a correction" if repaired[name] != [0] else "the stream's row" for name in STRAGGLERS}
        print(f"\nin {told}\nbefore: {accounting_line(before)}\nafter:  {accounting_line(after)}")
