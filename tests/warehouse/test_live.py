"""The view sessions_live: the rows of sessions, and rows made of the archive for windows that have none yet."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from contract.names import LIVE_VIEW, Kind
from contract.schemas import field_names
from tests.oracle import Message, dump, judge
from tests.warehouse.conftest import START, event, session
from tests.warehouse.test_repair import archive, pageview
from warehouse.apply import apply_live_view, main
from warehouse.live import MARGIN_S, REACH_S, live_view

WINDOW_S = 1800


def now_s() -> int:
    return int(datetime.now(tz=timezone.utc).timestamp())


def to_minutes(second: float) -> float:
    """Minutes from 10:00 of the tests' day, as the other tests of the room have them."""
    return (second - START.timestamp()) / 60


def rows_of(*pageviews: dict[str, Any], window_s: int = WINDOW_S, **changes: Any) -> list[dict[str, Any]]:
    """The oracle's rows."""
    messages = [Message(json.dumps(each).encode(), now_s() * 1000) for each in pageviews]
    return [
        {"batchKey": "q/000000000001", **row, **changes} for row in judge(messages, window_ms=window_s * 1000).sessions
    ]


@pytest.fixture
def w() -> float:
    """The start of a window, in minutes, that ended 30 to 60 minutes ago; so did the next one, or it ends now.

    Neither a pageview ahead of the clock nor the view's reach comes near while a test runs.
    """
    return to_minutes((now_s() // WINDOW_S - 2) * WINDOW_S)


def documented() -> list[str]:
    """The columns that docs/schema.md gives the view beside those of sessions."""
    text = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")
    section = text.split("<!-- live -->")[1].split("<!-- end -->")[0]
    return re.findall(r"^\| `(\w+)` \| boolean \|", section, flags=re.MULTILINE)


@pytest.fixture
def live(room):
    """Reads the view."""
    return lambda: room.ask("SELECT * FROM `{d}.sessions_live` ORDER BY window_start, uiud, sessionId, correction")


def short(rows):
    return [(row["eventIds"], row["sealed"]) for row in rows]


@pytest.mark.stack
def test_an_open_window_is_the_row_that_the_stream_will_make(room, w, live):
    pageviews = [
        pageview("c", w + 2, uiud="v", robot=True),
        pageview("b", w + 29.9, pageTitle="B"),
        pageview("a", w, landingPage="1", referrer="https://x.example/"),
        pageview("d", w + 30),
    ]
    archive(room, range(10), *pageviews)
    rows = live()
    assert [row.pop("sealed") for row in rows] == [False] * 3
    assert {row["batchKey"] for row in rows} == {"live"}
    assert dump(rows) == dump(rows_of(*pageviews))


@pytest.mark.stack
def test_a_window_is_shown_once_also_after_its_sealed_row_is_loaded(room, w, live):
    pageviews = [pageview("a", w + 1), pageview("b", w + 2), pageview("c", w + 30)]
    archive(room, range(10), *pageviews)
    assert short(live()) == [(["a", "b"], False), (["c"], False)]
    sealed = rows_of(*pageviews[:2])
    room.load(Kind.SESSIONS, *sealed)
    first, second = live()
    assert (first.pop("sealed"), first) == (True, sealed[0])
    assert short([second]) == [(["c"], False)]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [(["a"], True)], id="of the sealed row's visitor, session and window: the repair's"),
        pytest.param({"uiud": "v"}, [(["a"], True), (["late"], False)], id="of another visitor: a row of its own"),
        pytest.param({"sessionId": "t"}, [(["a"], True), (["late"], False)], id="of another session: a row of its own"),
    ],
)
def test_a_late_pageview_of_a_sealed_window(room, w, live, changes, expected):
    archive(room, range(10), pageview("a", w + 5), pageview("late", w + 1, **changes))
    room.load(Kind.SESSIONS, *rows_of(pageview("a", w + 5)))
    assert short(live()) == expected


@pytest.mark.stack
@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param(0, [(["a"], True)], id="at its start belongs to it"),
        pytest.param(29.9999, [(["a"], True)], id="just before its end belongs to it"),
        pytest.param(30, [(["a"], True), (["other"], False)], id="at its end opens the next one"),
        pytest.param(-0.0001, [(["other"], False), (["a"], True)], id="just before its start is of the one before"),
    ],
)
def test_a_pageview_at_the_border_of_a_sealed_window(room, w, live, minutes, expected):
    archive(room, range(10), pageview("a", w + 5), pageview("other", w + minutes))
    room.load(Kind.SESSIONS, *rows_of(pageview("a", w + 5)))
    assert short(live()) == expected


@pytest.mark.stack
def test_corrections_are_sealed_rows_of_their_own_and_seal_a_window_alone(room, w, live):
    archive(room, range(10), *(pageview(each, w + n) for n, each in enumerate("abc")), pageview("d", w + 30))
    stream = rows_of(pageview("a", w))
    corrected = rows_of(pageview("b", w + 1), pageview("d", w + 30), correction=1, batchKey="corrections/000000000001")
    room.load(Kind.SESSIONS, *stream, *corrected)
    assert short(live()) == [(["a"], True), (["b"], True), (["d"], True)]


@pytest.mark.stack
def test_copies_of_one_pageview_count_once_with_the_earliest_time(room, w, live):
    archive(room, range(10), *(pageview("a", w + minutes) for minutes in (3, 1, 1)), pageview("b", w + 2))
    (row,) = live()
    assert (row["eventIds"], row["Pageviews"]) == (["a", "b"], 2)


@pytest.mark.stack
def test_only_pageviews_are_in_it(room, w, live):
    kinds = {"click": "Click", "pulse": "Heartbeat", "canary": "Canary", "lower": "pageview"}
    room.load(Kind.EVENTS, *(event(n, w, offset=i, eventType=kind) for i, (n, kind) in enumerate(kinds.items())))
    rejected = {"reason": "missing_uiud", "stage": "streaming", "processor": "p", "processorVersion": "1"}
    place = {"kafkaTopic": "webevent", "kafkaPartition": 0, "kafkaOffset": 9, "batchKey": "q/000000000000"}
    at_w = START + timedelta(minutes=w)
    bad = {**rejected, **place, "failedAt": at_w, "kafkaTimestamp": at_w, "payload": b"{}", "eventId": "e"}
    room.load(Kind.BAD, bad)
    assert live() == []
    archive(room, range(20, 30), pageview("a", w))
    assert short(live()) == [(["a"], False)]


@pytest.mark.stack
def test_a_window_that_the_bound_cuts_is_absent_and_the_next_one_whole(room, live):
    """The one that begins next may leave the reach while the test runs; the one after it does not."""
    cut_s = (now_s() - REACH_S - WINDOW_S) // WINDOW_S * WINDOW_S
    seconds = range(cut_s - WINDOW_S, cut_s + 3 * WINDOW_S, 60)
    archive(room, range(1000), *(pageview(f"e{second}", to_minutes(second)) for second in seconds))
    rows = live()
    starts = [row["window_start"].timestamp() for row in rows]
    assert {row["Pageviews"] for row in rows} == {WINDOW_S // 60}
    assert starts in ([cut_s + WINDOW_S, cut_s + 2 * WINDOW_S], [cut_s + 2 * WINDOW_S])


@pytest.mark.stack
def test_sealed_rows_are_shown_however_old(room, live):
    room.load(Kind.SESSIONS, session("a"))
    assert live() == [{**session("a"), "sealed": True}]


@pytest.mark.stack
def test_no_pageview_is_twice_or_missing_while_rows_seal(room, w, live):
    windows = [[pageview(f"{v}-{n}", w + n, uiud=f"v{v:02}") for n in range(3)] for v in range(12)]
    archive(room, range(100), *(each for one in windows for each in one))

    visitors = [one[0]["uiud"] for one in windows]

    def read():
        rows = live()
        assert [row["uiud"] for row in rows] == visitors
        assert {row["Pageviews"] for row in rows} == {3}
        return sum(row["sealed"] for row in rows)

    def seal():
        for one in windows:
            room.load(Kind.SESSIONS, *rows_of(*one))

    with ThreadPoolExecutor(1) as pool:
        sealing = pool.submit(seal)
        seen = {read()}
        while not sealing.done():
            seen.add(read())
    sealing.result()
    assert read() == len(windows)
    assert len(seen) > 2


@pytest.mark.stack
def test_windows_of_another_length(room, live):
    assert (
        apply_live_view(room.client, room.dataset, window_s=30) == f"local.{room.dataset}.sessions_live: view renewed"
    )
    w = to_minutes((now_s() // 30 - 4) * 30)
    archive(room, range(10), *(pageview(each, w + n / 4) for n, each in enumerate("abcd")))
    room.load(Kind.SESSIONS, *rows_of(pageview("a", w), window_s=30))
    assert short(live()) == [(["a"], True), (["c", "d"], False)]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("stream_s", "expected"),
    [
        pytest.param(600, [(["b"], False), (["a"], True)], id="shorter in the stream"),
        pytest.param(7200, [(["a", "b"], True)], id="longer in the stream"),
    ],
)
def test_no_pageview_is_twice_where_the_streams_windows_have_another_length(room, live, stream_s, expected):
    w = to_minutes(now_s() // 7200 * 7200 - WINDOW_S)
    two = [pageview("a", w), pageview("b", w + 20)]
    archive(room, range(10), *two)
    sealed = [row for row in rows_of(*two, window_s=stream_s) if "a" in row["eventIds"]]
    room.load(Kind.SESSIONS, *sealed)
    assert sorted(short(live())) == sorted(expected)


@pytest.mark.stack
def test_the_command_bakes_the_length_in(room):
    main(["apply", "--project", "local", "--dataset", room.dataset, "--window-seconds", "30"])
    view = room.client.get_table(f"{room.dataset}.{LIVE_VIEW}").view_query
    assert set(re.findall(r"INTERVAL '?(\d+)'? SECOND", view)) == {
        "30",
        str(REACH_S + 30),
        str(REACH_S + 30 + MARGIN_S),
    }
    assert "DIV(UNIX_SECONDS(timestamp), 30) * 30" in view


@pytest.mark.stack
def test_its_columns_are_those_of_sessions_and_sealed(room):
    found = room.client.query_and_wait(f"SELECT * FROM `{room.dataset}.sessions_live`").schema
    table = room.client.get_table(f"{room.dataset}.sessions").schema
    shapes = [(each.name, each.field_type, each.mode == "REPEATED") for each in found]
    assert shapes == [
        *((each.name, each.field_type, each.mode == "REPEATED") for each in table),
        ("sealed", "BOOLEAN", False),
    ]
    assert [name for name, _, _ in shapes] == [*field_names("session"), *documented()]


@pytest.mark.stack
def test_columns_in_another_order_and_ones_of_a_newer_version_do_not_mix_the_rows(room, w, live):
    room.client.query_and_wait(f"ALTER TABLE `{room.dataset}.sessions` ADD COLUMN extra STRING")
    archive(room, range(10), pageview("a", w))
    assert short(live()) == [(["a"], False)]


@pytest.mark.parametrize(("table", "column"), [("events", "timestamp"), ("sessions", "window_start")])
def test_what_is_read_for_open_windows_is_bound_by_the_partitions_column_and_a_constant(table, column):
    """BigQuery prunes partitions by comparisons of the bare column with an expression that reads no row."""
    tree = sqlglot.parse_one(live_view("d"), read="bigquery")
    readers = [
        select
        for select in tree.find_all(exp.Select)
        if select.args["from_"].this.name == table and select.args.get("where")
    ]
    (where,) = (select.args["where"].this for select in readers)
    bounds = [
        each
        for each in (where.flatten() if isinstance(where, exp.And) else [where])
        if isinstance(each, exp.GTE) and isinstance(each.this, exp.Column) and each.this.name == column
        and not list(each.expression.find_all(exp.Column, exp.Select))
    ]  # fmt: skip
    assert len(bounds) == 1
    assert bounds[0].expression.find(exp.CurrentTimestamp)
