"""The parser: what becomes of an event as sent. The tables of verdicts are the collector's promise."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings, strategies

from collector import wire
from collector.wire import Refused, parse_body, parse_query
from contract.message import derive_event_id, to_value

RECEIVED_MS = 1_790_000_000_500
EMPTY = "This cannot be empty"
INVALID = "Input wasn't valid!"
EVENT: dict[str, Any] = {
    "timestamp": 1_790_000_000_000, "lastPageVisited": "https://example.com/a", "pageUrl": "https://example.com/b",
    "pageTitle": "B", "eventType": "Pageview", "landingPage": 0, "referrer": "direct",
    "uiud": "3b241101-e2bb-4255-8caf-4136c566a962", "sessionId": "s", "eventId": "e-1", "sentAt": 1_790_000_000_400,
    "seq": 2,
}  # fmt: skip


def parse(body: bytes, *, received_ms: int = RECEIVED_MS, robot: bool = False) -> dict[str, Any]:
    """The one event of a body as the topic holds it."""
    (record,) = parse_body(body, received_ms=received_ms, robot=robot).records
    assert record is not None
    value: dict[str, Any] = json.loads(record.value)
    return value


def event(**fields: object) -> bytes:
    """The usual event with some fields changed; `...` takes one away."""
    return json.dumps({name: value for name, value in {**EVENT, **fields}.items() if value is not ...}).encode()


def faults_of(body: bytes) -> Any:
    with pytest.raises(Refused) as refused:
        parse_body(body, received_ms=RECEIVED_MS, robot=False)
    return refused.value.message


def test_the_tags_event_is_on_the_topic_as_the_contract_spells_it() -> None:
    assert parse(event()) == {
        **EVENT, "timestamp": "2026-09-21 14:13:20.000", "landingPage": "0", "receivedAt": RECEIVED_MS,
    }  # fmt: skip


def test_the_published_tags_event_is_accepted_and_gets_an_id_from_its_content() -> None:
    body = json.dumps({
        "timestamp": 1_790_000_000_000, "lastPageVisited": "", "pageUrl": "https://example.com/",
        "pageTitle": "Home%20page",
        "eventType": "Pageview", "landingPage": 1, "referrer": "direct", "uiud": "u", "sessionId": 482_113,
    }).encode()  # fmt: skip
    stored = parse(body)
    assert (stored["sessionId"], stored["landingPage"], stored["lastPageVisited"]) == ("482113", "1", "")
    assert stored["eventId"] == derive_event_id(stored)
    assert parse(body, received_ms=RECEIVED_MS + 5_000)["eventId"] == stored["eventId"]


def test_the_published_apis_event_without_a_title_is_accepted() -> None:
    stored = parse(event(pageTitle=..., eventId=..., sentAt=..., seq=..., sessionId="482113", landingPage="1"))
    assert "pageTitle" not in stored


def test_all_faults_are_told_at_once_in_the_published_shape() -> None:
    body = event(pageUrl="", uiud=..., timestamp="yesterday", seq=0, landingPage="maybe", pageTitle=7)
    assert faults_of(body) == {
        "timestamp": INVALID, "uiud": EMPTY, "pageUrl": EMPTY, "pageTitle": INVALID,
        "landingPage": "Want 1 or 0", "seq": "Want a whole number from 1",
    }  # fmt: skip


REFUSED = {
    "an empty body": (b"", {"body": "Not JSON in UTF-8"}),
    "one byte": (b"{", {"body": "Not JSON in UTF-8"}),
    "JSON that is no object": (b"7", {"body": "Want one event as a JSON object, or an array of 1 to 100"}),
    "null": (b"null", {"body": "Want one event as a JSON object, or an array of 1 to 100"}),
    "an empty array": (b"[]", {"body": "Want one event as a JSON object, or an array of 1 to 100"}),
    "101 events": (b"[" + b",".join([event()] * 101) + b"]",
                   {"body": "Want one event as a JSON object, or an array of 1 to 100"}),
    "an array of a number": (b"[7]", {"0": {"body": "Want a JSON object"}}),
    "a depth of 1000": (b"[" * 1000 + b"]" * 1000, {"0": {"body": "Want a JSON object"}}),
    "a depth of 100,000": (b"[" * 100_000 + b"]" * 100_000, {"body": "Not JSON in UTF-8"}),
    "NaN": (event().replace(b"1790000000000", b"NaN"), {"body": "Not JSON in UTF-8"}),
    "Infinity": (event().replace(b"1790000000000", b"Infinity"), {"body": "Not JSON in UTF-8"}),
    "1e400": (event().replace(b"1790000000000", b"1e400"), {"body": "Not JSON in UTF-8"}),
    "5000 digits": (event().replace(b"1790000000000", b"1" * 5000), {"body": "Not JSON in UTF-8"}),
    "a timestamp past 64 bits": (event(timestamp=2**63), {"timestamp": INVALID}),
    "a timestamp of 1e300": (event().replace(b"1790000000000", b"1e300"), {"timestamp": INVALID}),
    "a timestamp of text": (event(timestamp="2026-01-01"), {"timestamp": INVALID}),
    "a timestamp of true": (event(timestamp=True), {"timestamp": INVALID}),
    "a timestamp of null": (event(timestamp=None), {"timestamp": INVALID}),
    "bad UTF-8": (event().replace(b"Pageview", b"Page\xffview"), {"body": "Not JSON in UTF-8"}),
    "overlong UTF-8": (event().replace(b"Pageview", b"Page\xc0\xafview"), {"body": "Not JSON in UTF-8"}),
    "UTF-16": (event().decode().encode("utf-16"), {"body": "Not JSON in UTF-8"}),
    "a visitor of null": (event(uiud=None), {"uiud": EMPTY}),
    "a visitor of nothing": (event(uiud=""), {"uiud": EMPTY}),
    "a visitor of spaces": (event(uiud="  "), {"uiud": EMPTY}),
    "a visitor of an array": (event(uiud=["u"]), {"uiud": INVALID}),
    "a visitor of 4 kB": (event(uiud="u" * 4096), {"uiud": "Longer than 128 characters"}),
    "a session of null": (event(sessionId=None), {"sessionId": EMPTY}),
    "a session of true": (event(sessionId=True), {"sessionId": INVALID}),
    "a session of a half": (event(sessionId=0.5), {"sessionId": INVALID}),
    "an eventId of 4 kB": (event(eventId="e" * 4096), {"eventId": "Longer than 128 characters"}),
    "a title of 64 kB": (event(pageTitle="t" * 65_536), {"pageTitle": "Longer than 16384 characters"}),
    "an address of an object": (event(pageUrl={"href": "x"}), {"pageUrl": INVALID}),
    "an address of spaces": (event(pageUrl="  "), {"pageUrl": EMPTY}),
    "a heartbeat": (event(eventType="Heartbeat"), {"eventType": "Heartbeat is reserved"}),
    "a heartbeat in small letters": (event(eventType=" heartbeat "), {"eventType": "Heartbeat is reserved"}),
    "a negative number of the event": (event(seq=-1), {"seq": "Want a whole number from 1"}),
    "a number of the event past 64 bits": (event(seq=2**64), {"seq": INVALID}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes, message: object) -> None:
    assert faults_of(body) == message


ACCEPTED = {
    "a byte order mark": (b"\xef\xbb\xbf" + event(), {"pageTitle": "B"}),
    "the last of two equal keys": (event().replace(b'"seq": 2', b'"seq": 1, "seq": 2'), {"seq": 2}),
    "half of a surrogate pair becomes U+FFFD": (event(pageTitle="a\ud83d"), {"pageTitle": "a\ufffd"}),
    "the other half too": (event(pageTitle="\udc00\ud83d\ude00"), {"pageTitle": "\ufffd\U0001f600"}),
    "an escaped backslash before u stays": (event(pageTitle="\\ud83d", sessionId="\ud83d"), {"pageTitle": "\\ud83d"}),
    "right-to-left, joiners, NUL": (event(pageTitle="\u202e\u200d\0\u2028"), {"pageTitle": "\u202e\u200d\0\u2028"}),
    "a formula in a title": (event(pageTitle="=cmd|' /C calc'!A0"), {"pageTitle": "=cmd|' /C calc'!A0"}),
    "a script in a title": (event(pageTitle="<script>"), {"pageTitle": "<script>"}),
    "any scheme of an address": (event(pageUrl="javascript:alert(1)"), {"pageUrl": "javascript:alert(1)"}),
    "a session drawn as a number": (event(sessionId=482_113), {"sessionId": "482113"}),
    "a session as a float without a fraction": (event(sessionId=5.0), {"sessionId": "5"}),
    "a visitor as a number": (event(uiud=7), {"uiud": "7"}),
    "spaces around an id": (event(uiud=" u "), {"uiud": "u"}),
    "a landing page of true": (event(landingPage=True), {"landingPage": "1"}),
    "a timestamp with a fraction": (event(timestamp=1_790_000_000_000.75), {"timestamp": "2026-09-21 14:13:20.000"}),
    "a timestamp in digits": (event(timestamp="1790000000000"), {"timestamp": "2026-09-21 14:13:20.000"}),
    "an event of one's own": (event(eventType="Signup"), {"eventType": "Signup"}),
    "null where nothing is needed": (event(pageTitle=None, eventId=None), {"landingPage": "0"}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(body: bytes, expected: dict[str, object]) -> None:
    stored = parse(body)
    assert {name: stored[name] for name in expected} == expected


CLOCKS = {
    "a second before the limit of 7 days": (RECEIVED_MS - 7 * 86_400_000 + 1000, False),
    "a second behind it": (RECEIVED_MS - 7 * 86_400_000 - 1000, True),
    "60 s ahead": (RECEIVED_MS + 60_000, False),
    "61 s ahead": (RECEIVED_MS + 61_000, True),
    "a day ahead": (RECEIVED_MS + 86_400_000, True),
    "ten years ago": (RECEIVED_MS - 315_360_000_000, True),
    "1970": (0, True),
    "before 1970": (-5, True),
    "year 9999": (253_402_300_799_999, True),
    "past year 9999": (2**62, True),
}


@pytest.mark.parametrize(("timestamp", "skewed"), CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_cannot_be_right_becomes_the_time_of_receipt(timestamp: int, skewed: bool) -> None:
    stored = parse(event(timestamp=timestamp, sentAt=...))
    assert stored.get("clockSkewed", False) == skewed
    assert stored.get("originalTimestamp") == (timestamp if skewed else None)
    if skewed:
        assert stored["timestamp"] == "2026-09-21 14:13:20.500"


def test_a_clock_an_hour_slow_is_shifted_by_what_sentAt_shows() -> None:
    slow_ms = 3_600_000
    stored = parse(event(timestamp=RECEIVED_MS - slow_ms - 20_000, sentAt=RECEIVED_MS - slow_ms))
    assert stored["timestamp"] == "2026-09-21 14:13:00.500"
    assert (stored["clockSkewed"], stored["originalTimestamp"]) == (True, RECEIVED_MS - slow_ms - 20_000)


def test_a_retry_an_hour_later_has_the_same_time() -> None:
    first = parse(event(sentAt=1_790_000_000_000))
    later = parse(event(sentAt=1_790_003_600_000), received_ms=RECEIVED_MS + 3_600_000)
    assert first["timestamp"] == later["timestamp"]
    assert "clockSkewed" not in later


def test_a_retry_of_a_skewed_event_without_an_id_gets_the_same_id() -> None:
    body = event(timestamp=0, eventId=..., sentAt=...)
    assert parse(body)["eventId"] == parse(body, received_ms=RECEIVED_MS + 1_000)["eventId"]


def test_unknown_fields_are_kept_with_those_that_only_the_collector_may_set() -> None:
    stored = parse(event(props={"plan": "pro"}, robot=False, receivedAt=1, extra="x"))
    assert json.loads(stored["extra"]) == {"props": {"plan": "pro"}, "robot": False, "receivedAt": 1, "extra": "x"}
    assert stored["receivedAt"] == RECEIVED_MS
    assert "robot" not in stored


def test_unknown_fields_are_bounded_and_what_is_left_out_is_counted() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    body = (
        orjson.dumps({**EVENT, "small": 1, "large": "x" * 5_000, "after": 2})[:-1]
        + b',"deep":'
        + b"[" * 500
        + b"]" * 500
        + b"}"
    )
    extra = parse(body)["extra"]
    assert json.loads(extra) == {"small": 1, "after": 2, "leftOut": 2}
    many = parse(event(**{f"field{number}": "x" * 50 for number in range(1_000)}))["extra"]
    assert len(many.encode()) <= wire.EXTRA_BYTES
    assert json.loads(many)["leftOut"] > 900


def test_a_robot_is_flagged() -> None:
    assert parse(event(), robot=True)["robot"] is True


def test_in_an_array_a_neighbours_fault_loses_no_pageview() -> None:
    posted = parse_body(
        b"[" + event(eventId="a") + b",{}," + event(eventId="b") + b"]", received_ms=RECEIVED_MS, robot=False
    )
    assert [record and record.event_id for record in posted.records] == ["a", None, "b"]
    assert posted.faults[1]["pageUrl"] == EMPTY


def test_100_events_are_taken() -> None:
    assert (
        len(parse_body(b"[" + b",".join([event()] * 100) + b"]", received_ms=RECEIVED_MS, robot=False).records) == 100
    )


def test_the_key_is_the_visitor() -> None:
    (record,) = parse_body(event(uiud="ü"), received_ms=RECEIVED_MS, robot=False).records
    assert record is not None
    assert record.key == "ü".encode()


@settings(max_examples=60, deadline=None)
@given(
    strategies.fixed_dictionaries(
        {name: strategies.text(min_size=1, max_size=20) for name in ("uiud", "sessionId", "pageUrl", "pageTitle")},
        optional={"seq": strategies.integers(1, 2**62), "robot": strategies.booleans(), "extra": strategies.text()},
    )
)
def test_the_value_has_the_contracts_own_bytes(fields: dict[str, Any]) -> None:
    pageview = {**fields, "timestamp": "2026-01-01 00:00:00.000", "eventType": "Pageview", "eventId": "e"}
    assert wire.to_record(pageview).value == to_value(pageview)


@settings(max_examples=60, deadline=None)
@given(strategies.binary(max_size=200) | strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.sampled_from(list(EVENT)), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_is_sent_is_taken_or_refused(body: bytes) -> None:
    try:
        parse_body(body, received_ms=RECEIVED_MS, robot=False)
    except Refused as refused:
        assert refused.message


DEFAULTS = {
    "uiud": "u",
    "sessionId": "s",
    "pageUrl": "https://example.com/nojs",
    "landingPage": "1",
    "referrer": "direct",
}


def test_the_pixel_is_a_pageview_of_the_page_that_holds_it() -> None:
    record = parse_query(b"pageTitle=No%20script&utm_source=mail", DEFAULTS, received_ms=RECEIVED_MS, robot=False)
    stored = json.loads(record.value)
    assert (stored["pageTitle"], stored["pageUrl"], stored["eventType"]) == (
        "No script",
        DEFAULTS["pageUrl"],
        "Pageview",
    )
    assert json.loads(stored["extra"]) == {"utm_source": "mail"}


@pytest.mark.parametrize(
    ("query", "field"),
    [(b"&".join([b"a=1"] * 65), "query"), (b"uiud=", "uiud"), (b"timestamp=soon", "timestamp"), (b"seq=0", "seq")],
    ids=["65 fields", "no visitor", "an unreadable time", "number 0"],
)
def test_a_pixel_at_fault_is_refused(query: bytes, field: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_query(query, DEFAULTS, received_ms=RECEIVED_MS, robot=False)
    assert list(refused.value.message) == [field]
