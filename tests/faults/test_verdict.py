"""The checker: each single fault put into tables that are right overturns exactly its invariant."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from contract.names import PAGEVIEW
from local.faults import Fault, Sign
from local.ledger import Entry, Outcome
from local.verdict import (
    Row,
    Tables,
    check_accounts,
    check_bounds,
    check_events,
    check_liveness,
    check_signs,
)
from tests.oracle import Message, judge
from warehouse.accounts import Accounts, Day

WINDOW_MS = 30_000
MILLISECOND = timedelta(milliseconds=1)
T0 = 1_790_000_010_000
"""The first millisecond of a window."""
I1, I2, I3, I5, I6 = "I1 no loss", "I2 no duplicate", "I3 no phantom", "I5 grouping", "I6 equality"


def entry(event_id: str, after_ms: int, outcome: Outcome = Outcome.OK, uiud: str = "u", kind: str = PAGEVIEW) -> Entry:
    event = {
        "timestamp": T0 + after_ms, "uiud": uiud, "sessionId": 7, "pageUrl": f"/{event_id}", "eventType": kind,
        "referrer": "direct", "landingPage": 0, "pageTitle": f"title of {event_id}",
    }  # fmt: skip
    return Entry(event_id, event, outcome)


LEDGER = [
    entry("a", 0), entry("b", 5_000), entry("c", 5_000), entry("d", 30_000), entry("e", 1, uiud="v"),
    entry("custom", 2, kind="click"), entry("refused", 3, Outcome.REFUSED, uiud="w"),
    entry("answer lost, arrived", 4, Outcome.UNKNOWN, uiud="x"), entry("answer lost, did not", 5, Outcome.UNKNOWN),
]  # fmt: skip
ARRIVED = [each for each in LEDGER if each.event_id not in ("refused", "answer lost, did not")]


def right() -> Tables:
    """What the pipeline makes of the ledger, by the tests' own oracle."""
    values = [json.dumps({**each.event, "eventId": each.event_id}).encode() for each in ARRIVED]
    rows: list[Row] = judge([Message(value, T0 + 3_600_000) for value in values], window_ms=WINDOW_MS).sessions
    return Tables(rows, frozenset(each.event_id for each in ARRIVED), ())


def overturned(tables: Tables) -> set[str]:
    return {found.invariant for found in check_events(LEDGER, tables, WINDOW_MS) if not found.holds}


def test_right_tables_hold_and_the_ledger_has_every_kind():
    found = list(check_events(LEDGER, right(), WINDOW_MS))
    assert [each.invariant for each in found] == [I1, I2, I3, I5, I6]
    assert all(each.holds and not each.examples for each in found)
    assert len(right().rows) == 4 and len(right().rows[0]["eventIds"]) == 3
    assert {each.outcome for each in LEDGER} == set(Outcome)


def row_of(tables: Tables, event_id: str) -> dict:
    (row,) = [row for row in tables.rows if event_id in row["eventIds"]]
    return dict(row)


def with_row(old: str, change: Callable[[dict], None]) -> Callable[[Tables], Tables]:
    """The row that holds an event, changed."""

    def changed(tables: Tables) -> Tables:
        row = deepcopy(row_of(tables, old))
        change(row)
        return replace(tables, rows=[*(other for other in tables.rows if old not in other["eventIds"]), row])

    return changed


ARRAYS = ("Pages", "referrer", "LandingPageCode", "sessionTimestamps", "pageTitles", "eventIds")


def drop(event_id: str) -> Callable[[dict], None]:
    def change(row: dict) -> None:
        place = row["eventIds"].index(event_id)
        row.update(
            {name: [*row[name][:place], *row[name][place + 1 :]] for name in ARRAYS}, Pageviews=len(row["Pages"]) - 1
        )

    return change


def reverse(row: dict) -> None:
    row.update({name: row[name][::-1] for name in ARRAYS})


def later(row: dict) -> None:
    row.update({name: row[name] + timedelta(seconds=30) for name in ("window_start", "window_end")})


def put(name: str, value: object) -> Callable[[dict], None]:
    return lambda row: row.update({name: value})


def rename(old: str, new: str) -> Callable[[dict], None]:
    return lambda row: row.update(eventIds=[new if event_id == old else event_id for event_id in row["eventIds"]])


def with_rows(*more: Callable[[Tables], Row]) -> Callable[[Tables], Tables]:
    return lambda tables: replace(tables, rows=[*tables.rows, *(make(tables) for make in more)])


def of_refused(tables: Tables) -> Row:
    (row,) = judge([Message(json.dumps({**LEDGER[6].event, "eventId": "refused"}).encode(), T0 + 3_600_000)],
                   window_ms=WINDOW_MS).sessions  # fmt: skip
    return row


FAULTS: dict[str, tuple[Callable[[Tables], Tables], set[str]]] = {
    "a row less": (
        lambda tables: replace(tables, rows=[row for row in tables.rows if "d" not in row["eventIds"]]), {I1, I6},
    ),
    "a pageview less in a row": (with_row("b", drop("b")), {I1, I6}),
    "a custom event less in the archive": (
        lambda tables: replace(tables, archived=tables.archived - {"custom"}), {I1},
    ),
    "an event in a row of a correction too": (
        with_rows(lambda tables: {**row_of(tables, "d"), "correction": 1, "batchKey": "corrections/1"}), {I2, I6},
    ),
    "a row twice": (with_rows(lambda tables: row_of(tables, "d")), {I2, I5, I6}),
    "a message twice in the archive": (
        lambda tables: replace(tables, places_twice=("events webevent/0/1",)), {I2},
    ),
    "a stranger in the archive": (lambda tables: replace(tables, archived=tables.archived | {"stranger"}), {I3}),
    "a stranger in the place of an event whose answer was lost": (
        with_row("answer lost, arrived", rename("answer lost, arrived", "stranger")), {I3, I6},
    ),
    "a refused event in sessions": (with_rows(of_refused), {I3, I6}),
    "a refused event in the archive": (lambda tables: replace(tables, archived=tables.archived | {"refused"}), {I3}),
    "arrays out of order": (with_row("a", reverse), {I5}),
    "events of one time out of order": (
        with_row("b", lambda row: row.update({name: [row[name][0], *row[name][:0:-1]] for name in ARRAYS})), {I5},
    ),
    "an event in a wrong window": (with_row("d", later), {I5, I6}),
    "a window that begins at no half minute": (
        with_row("d", lambda row: row.update(window_start=row["window_start"] - timedelta(seconds=1))), {I5, I6},
    ),
    "a window that ends too late": (
        with_row("d", lambda row: row.update(window_end=row["window_end"] + timedelta(seconds=1))), {I5},
    ),
    "a wrong number of pageviews": (with_row("a", put("Pageviews", 2)), {I5}),
    "a title changed": (with_row("d", put("pageTitles", ["another"])), {I6}),
    "a page changed": (with_row("d", put("Pages", ["/another"])), {I6}),
    "a referrer changed": (with_row("d", put("referrer", [""])), {I6}),
    "a landing page changed": (with_row("d", put("LandingPageCode", ["1"])), {I6}),
    "another visitor's": (with_row("d", put("uiud", "v")), {I6}),
    "another session's": (with_row("d", put("sessionId", "8")), {I6}),
    "a millisecond later": (
        with_row("d", lambda row: row["sessionTimestamps"].append(row["sessionTimestamps"].pop() + MILLISECOND)), {I6},
    ),
    "an array too short": (with_row("a", lambda row: row["pageTitles"].pop()), {I5, I6}),
    "no eventIds at all": (with_row("a", put("eventIds", [])), {I1, I5, I6}),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "invariants"), FAULTS.values(), ids=FAULTS)
def test_a_single_fault_overturns_exactly_its_invariants(fault, invariants):
    assert overturned(fault(right())) == invariants


def test_rows_of_a_correction_are_merged_with_the_streams():
    tables = right()
    row = row_of(tables, "a")
    stream, correction = deepcopy(row), {**deepcopy(row), "correction": 1}
    drop("b")(stream)
    drop("a")(correction)
    drop("c")(correction)
    others = [other for other in tables.rows if "a" not in other["eventIds"]]
    assert overturned(replace(tables, rows=[*others, stream, correction])) == set()


def test_an_event_whose_answer_was_lost_may_be_there_or_not_but_once():
    tables = right()
    gone = replace(
        tables,
        rows=[row for row in tables.rows if "answer lost, arrived" not in row["eventIds"]],
        archived=tables.archived - {"answer lost, arrived"},
    )
    assert overturned(gone) == set()
    twice = with_rows(lambda found: {**row_of(found, "answer lost, arrived"), "correction": 1})
    assert overturned(twice(tables)) == {I2, I6}


def test_at_most_five_examples_are_shown_and_all_are_counted():
    tables = replace(right(), archived=right().archived | {f"stranger {number}" for number in range(9)})
    (found,) = [each for each in check_events(LEDGER, tables, WINDOW_MS) if not each.holds]
    assert len(found.examples) == 5 and found.found.endswith("in a table 9")


def accounts(**changes: int) -> Accounts:
    day = Day(**{"accepted": 10, "in_sessions": 9, "rejected": 1, **changes})
    return Accounts(days={"2026-01-02": day}, pageviews_in_sessions=9)


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True), ({"accepted": 11}, False), ({"accepted": 11, "open": 1}, False),
        ({"accepted": 11, "late": 1}, False),
    ],
    ids=["balanced", "one accepted and nowhere", "one still open", "one late and not repaired"],
)  # fmt: skip
def test_the_accounts_balance_with_nothing_open_and_nothing_late(changes, holds):
    found = check_accounts(accounts(**changes))
    assert (found.invariant, found.holds) == ("I4 accounting", holds)


@pytest.mark.parametrize(
    ("drained_s", "outage_s", "holds"), [(120, 0, True), (121, 0, False), (180, 90, True), (181, 90, False)]
)
def test_it_drains_within_two_minutes_or_twice_the_longest_outage(drained_s, outage_s, holds):
    assert check_liveness(drained_s, outage_s).holds is holds


@pytest.mark.parametrize(
    ("peak_mb", "spooled", "holds"),
    [(250.0, 8_388_608, True), (250.1, 0, False), (1.0, 8_388_609, False)],
    ids=["at both bounds", "memory", "disk"],
)
def test_memory_and_disk_are_bounded(peak_mb, spooled, holds):
    assert check_bounds(peak_mb, spooled).holds is holds


@pytest.mark.parametrize(("loud_s", "holds"), [(0.0, True), (60.0, True), (60.1, False), (None, False)])
def test_a_fault_that_no_log_tells_within_a_minute_is_silent(tmp_path: Path, loud_s, holds):
    faults = [Fault("job", "idle", 3.0, Sign(tmp_path / "log", "x"), loud_s=told) for told in (1.0, loud_s)]
    found = check_signs(faults)
    assert found.holds is holds
    assert found.examples == (() if holds else ("job at 3 s",))


def test_a_sign_is_a_line_that_came_after_it_was_begun(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("ended with code -9\n")
    sign = Sign(log, "ended with code -9")
    assert not sign.shows()
    with log.open("a") as file:
        file.write("ended with code -9\n")
    assert sign.shows()
