"""The oracle itself, against rows worked out by hand."""

from datetime import datetime, timezone
from typing import Any

import pytest

from contract.message import derive_event_id, heartbeat, to_value
from contract.reasons import Reason
from tests.oracle import COLUMNS, Message, Refusal, digest, dump, judge, read_hit

KAFKA_MS = 1_790_000_000_000  # 2026-09-21 14:13:20 UTC
NOW = "2026-09-21 14:13:20.000"


def message(**fields: object) -> Message:
    whole = {"uiud": "u", "sessionId": "s", "timestamp": NOW, "pageUrl": "http://x/", "eventId": "e1", **fields}
    return Message(to_value(whole), KAFKA_MS)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-09-21 {text}").replace(tzinfo=timezone.utc)


def test_a_row_worked_out_by_hand() -> None:
    verdict = judge([
        message(eventId="b", timestamp="2026-09-21 14:00:05.000", pageUrl="/2", landingPage="0", referrer="direct"),
        message(eventId="a", timestamp="2026-09-21 14:00:05.000", pageUrl="/1", landingPage="1", referrer="http://r/"),
        message(eventId="c", timestamp="2026-09-21 14:00:01", pageUrl="/0", pageTitle="T", robot=True),
        message(eventId="a", timestamp="2026-09-21 14:00:06.000", pageUrl="/late retry"),
        message(eventId="d", eventType="AddToCart"),
        Message(heartbeat(KAFKA_MS), KAFKA_MS),
    ])  # fmt: skip
    assert verdict.sessions == [{
        "uiud": "u", "sessionId": "s", "window_start": at("14:00:00"), "window_end": at("14:30:00"),
        "Pages": ["/0", "/1", "/2"], "referrer": ["", "http://r/", "direct"], "LandingPageCode": ["", "1", "0"],
        "sessionTimestamps": [at("14:00:01"), at("14:00:05"), at("14:00:05")], "pageTitles": ["T", "", ""],
        "eventIds": ["c", "a", "b"], "Pageviews": 3, "firstSeen": at("14:00:01"), "lastSeen": at("14:00:05"),
        "entryPage": "/0", "exitPage": "/2", "landingReferrer": "http://r/", "robot": True, "correction": 0,
    }]  # fmt: skip
    assert tuple(verdict.sessions[0]) == COLUMNS
    assert (verdict.pageviews, verdict.others, verdict.heartbeats) == (4, 1, 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.UNDECODABLE),
        (b"", Reason.UNDECODABLE),
        (b"{", Reason.UNDECODABLE),
        (b"[{}]", Reason.UNDECODABLE),
        (b'{"uiud":"\xff"}', Reason.UNDECODABLE),
        (b"{}", Reason.MISSING_UIUD),
        (message(uiud="").value, Reason.MISSING_UIUD),
        (message(sessionId=None).value, Reason.MISSING_SESSION_ID),
        (message(timestamp=None).value, Reason.MISSING_TIMESTAMP),
        (message(pageUrl="").value, Reason.MISSING_PAGE_URL),
        (message(timestamp="10:00").value, Reason.UNREADABLE_TIMESTAMP),
        (message(timestamp="2026-02-29 10:00:00").value, Reason.UNREADABLE_TIMESTAMP),
        (message(timestamp=-1).value, Reason.TIMESTAMP_OUT_OF_RANGE),
        (message(timestamp="1969-12-31 23:59:59.999").value, Reason.TIMESTAMP_OUT_OF_RANGE),
        (message(timestamp="2026-09-21 14:14:20.001").value, Reason.TIMESTAMP_IN_FUTURE),
        (message(timestamp=KAFKA_MS + 60_001).value, Reason.TIMESTAMP_IN_FUTURE),
    ],
)
def test_a_message_is_refused_for(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(Refusal) as caught:
        read_hit(Message(value, KAFKA_MS))
    assert caught.value.args == (reason,)


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({"timestamp": "2026-09-21 14:14:20.000"}, KAFKA_MS + 60_000),
        ({"timestamp": KAFKA_MS}, KAFKA_MS),
        ({"timestamp": "1970-01-01 00:00:00"}, 0),
        ({"timestamp": NOW, "sessionId": 17, "landingPage": 1}, KAFKA_MS),
    ],
)
def test_a_message_is_accepted_with_the_time(fields: dict[str, Any], at_ms: int) -> None:
    assert read_hit(message(**fields))["at_ms"] == at_ms


def test_without_an_event_id_equal_content_is_one_pageview() -> None:
    plain = message(eventId=None, timestamp="2026-09-21 14:00:01")
    verdict = judge([plain, plain, message(eventId=None, timestamp="2026-09-21 14:00:02")])
    assert [row["Pageviews"] for row in verdict.sessions] == [2]
    fields = {"uiud": "u", "sessionId": "s", "pageUrl": "http://x/"}
    assert derive_event_id({**fields, "timestamp": "2026-09-21 14:00:01.000"}) in verdict.event_ids


def test_half_past_opens_a_new_window() -> None:
    verdict = judge([message(timestamp="2026-09-21 13:29:59.999"), message(timestamp="2026-09-21 13:30:00.000")])
    assert [row["window_start"] for row in verdict.sessions] == [at("13:00:00"), at("13:30:00")]


def test_the_dump_knows_neither_the_order_of_rows_nor_their_batch() -> None:
    rows = judge([message(uiud="b"), message(uiud="a")]).sessions
    loaded = [{**row, "batchKey": f"q/{number}"} for number, row in enumerate(reversed(rows))]
    assert dump(loaded) == dump(rows)
    assert digest(loaded) == digest(rows) != digest(rows[:1])


def test_a_column_that_is_missing_or_unknown_is_no_equal_table() -> None:
    [row] = judge([message()]).sessions
    with pytest.raises(KeyError):
        dump([{**row, "more": 1}])
    with pytest.raises(KeyError):
        dump([{name: row[name] for name in COLUMNS[:-1]}])
