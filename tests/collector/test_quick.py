"""The short way and the long way to a record: where the short way answers, both have the same bytes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from collector.clock import AHEAD_MS, BEHIND_MS
from collector.fields import ID_CHARS, LONG, TEXT_CHARS
from collector.quick import to_value_quickly
from collector.wire import Refused, _spell, to_pageview, to_record
from tests.collector.test_wire import EVENT, RECEIVED_MS

WORDS = ["", " ", "\t", "\u00a0", "a b", "ü", "\x00", "\u202e", "\U0001f600", "e-1", "x" * 42, "x" * 43]
SIZES = ["x" * size for limit in (ID_CHARS, TEXT_CHARS) for size in (limit - 1, limit, limit + 1)]
NUMBERS = [-1, 0, 1, 2, 0.0, 1.0, 0.5, LONG - 1, LONG, 2**64 - 1, -LONG, 1e300]
MOMENTS = [RECEIVED_MS + shift + step for shift in (0, AHEAD_MS, -AHEAD_MS, -BEHIND_MS) for step in (-1, 0, 1)]
ODD = [None, True, False, [], ["u"], {}, {"a": 1}, "0", "1", "Pageview", "Heartbeat", "pageview", str(RECEIVED_MS), ...]
VALUES = [*WORDS, *SIZES, *NUMBERS, *MOMENTS, *ODD]
NAMES = [*EVENT, "props", "robot"]
values = strategies.sampled_from(VALUES) | strategies.text(max_size=5)
events = strategies.dictionaries(strategies.sampled_from(NAMES), values, min_size=2, max_size=4).map(
    lambda changed: {name: value for name, value in {**EVENT, **changed}.items() if value is not ...}
)


def quickly(event: dict[str, Any], *, robot: bool = False) -> bytes | None:
    return to_value_quickly(event, received_ms=RECEIVED_MS, robot=robot, spell=_spell)


def at_length(event: dict[str, Any], *, robot: bool = False) -> bytes | None:
    try:
        return to_record(to_pageview(event, received_ms=RECEIVED_MS, robot=robot)).value
    except Refused:
        return None


def agree(event: dict[str, Any], *, robot: bool = False) -> bool:
    """Whether the short way has the long way's bytes, or leaves the event to it."""
    value = quickly(event, robot=robot)
    return value is None or value == at_length(event, robot=robot)


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_agree_whatever_one_field_holds(name: str) -> None:
    for value in VALUES:
        event = {**EVENT, name: value}
        assert agree({key: kept for key, kept in event.items() if kept is not ...}), value


@settings(max_examples=1_000, deadline=None)
@given(events, strategies.booleans())
def test_both_ways_agree_whatever_some_fields_hold(event: dict[str, Any], robot: bool) -> None:
    assert agree(event, robot=robot)


def test_the_tags_event_goes_the_short_way() -> None:
    value = quickly(EVENT)
    assert value is not None
    assert value == at_length(EVENT)
    assert json.loads(value)["eventId"] == EVENT["eventId"]


def test_the_bounds_of_the_clock_go_the_short_way() -> None:
    for moment in (RECEIVED_MS - BEHIND_MS, RECEIVED_MS + AHEAD_MS):
        assert quickly({**EVENT, "timestamp": moment}) == at_length({**EVENT, "timestamp": moment}) is not None
    for moment in (RECEIVED_MS - BEHIND_MS - 1, RECEIVED_MS + AHEAD_MS + 1):
        assert quickly({**EVENT, "timestamp": moment}) is None
