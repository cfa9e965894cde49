"""Which end of a query is the job's end, and which one is mended by another start."""

import threading
from typing import Any

import pytest

from streaming import lifecycle
from streaming.lifecycle import Started, watch
from streaming.sinks import Gate


class Query:
    """A query that is active for so many questions and has then ended, with an exception or without."""

    def __init__(self, active_for: float, exception: str | None = None) -> None:
        self.name = "q"
        self.active_for = active_for
        self.ends_with = exception
        self.status = {"isTriggerActive": False}

    @property
    def isActive(self) -> bool:  # noqa: N802
        self.active_for -= 1
        return self.active_for >= 0

    def exception(self) -> str | None:
        return self.ends_with

    def stop(self) -> None:
        self.active_for = 0


class Log:
    """A checkpoint with these batches in each of its two logs."""

    path = "file:///c"

    def __init__(self, offsets: int = 1, commits: int = 1) -> None:
        self.logs = {"offsets": list(range(offsets)), "commits": list(range(commits))}

    def batches(self, log: str) -> list[int]:
        return self.logs[log]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "POLL_S", 0.0)


def started(*queries: Query, log: Log | None = None) -> tuple[Started, list[Query]]:
    """A query that is the first of these, then at each start the next one; and those that are left."""
    left: Any = list(queries)
    checkpoint: Any = log or Log()
    return Started(lambda: left.pop(0), checkpoint), left


FOREVER = float("inf")


@pytest.mark.parametrize("questions", range(12))
def test_a_query_that_fails_after_its_commit_is_started_again_whenever_that_happens(questions: int) -> None:
    other, _ = started(Query(FOREVER))
    mended, left = started(Query(questions, "the lag's report"), Query(40))
    # The second query ends without a reason: that is the end which is reported.
    assert not watch([other, mended], Gate(), drains=False)
    assert left == [] and mended.again and not other.query.isActive


def test_it_is_started_again_once_only() -> None:
    failing, left = started(*[Query(1, "the lag's report") for _ in range(3)])
    assert not watch([failing], Gate(), drains=False)
    assert len(left) == 1


def test_a_failure_in_a_batch_is_the_jobs_end() -> None:
    failing, left = started(Query(1, "no space"), Query(FOREVER), log=Log(offsets=2, commits=1))
    assert not watch([failing], Gate(), drains=False)
    gate = Gate(failure=OSError("no space"))
    other, left_too = started(Query(1, "no space"), Query(FOREVER))
    assert not watch([other], gate, drains=False)
    assert len(left) == len(left_too) == 1


@pytest.mark.parametrize("drains", [True, False])
def test_queries_that_end_by_themselves_were_asked_to_where_they_drain(drains: bool) -> None:
    queries = [started(Query(number))[0] for number in (1, 5)]
    assert watch(queries, Gate(), drains=drains) is drains


def test_a_drain_that_fails_in_one_query_ends_the_other() -> None:
    failing, _ = started(Query(1, "no space"), log=Log(offsets=2, commits=1))
    other, _ = started(Query(FOREVER))
    assert not watch([failing, other], Gate(), drains=True)
    assert not other.query.isActive


def test_a_stop_that_was_asked_for_is_a_good_end() -> None:
    gate = Gate()
    running, _ = started(Query(FOREVER))
    threading.Timer(0.05, gate.stop_asked.set).start()
    assert watch([running], gate, drains=False)
    assert not running.query.isActive


def test_a_query_that_failed_is_not_excused_by_another_one_that_only_stopped() -> None:
    gate = Gate(refused={"archive"})
    gate.stop_asked.set()
    failed, left_out = Query(0, "no space"), Query(0, "asked to stop")
    failed.name, left_out.name = "sessions", "archive"
    both = [started(failed)[0], started(left_out)[0]]
    assert not watch(both, gate, drains=False)
    assert watch(both[1:], gate, drains=False)
