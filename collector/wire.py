"""What a browser may send, and the pageview that it becomes. Pure: no clock, no network, no settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from collector import mend
from collector.clock import to_event_ms
from collector.fields import READERS, Faults, read_fields
from collector.quick import to_value_quickly
from contract.message import FIELDS, derive_event_id, to_event_time, to_key
from contract.names import PAGEVIEW

EVENTS = 100
EXTRA_BYTES = 4_096
QUERY_FIELDS = 64


class Refused(Exception):
    """The request is at fault and must not be sent again. `message` names every fault by its field."""

    def __init__(self, message: Faults) -> None:
        super().__init__(message)
        self.message = message


class Record(NamedTuple):
    """One event as the topic holds it."""

    event_id: str
    key: bytes
    value: bytes


@dataclass(slots=True)
class Posted:
    """What one request holds: `records` in the sender's order, None where `faults` has the index."""

    single: bool
    records: list[Record | None]
    faults: dict[int, Faults]


def parse_body(body: bytes, *, received_ms: int, robot: bool) -> Posted:
    """The events of a POST body: one JSON object, or an array of at most 100.

    Raises Refused when no event in it can be taken. In an array the good ones are taken and the others
    have their faults: a neighbour's fault must not lose a pageview.
    """
    given = parse_json(body)
    if isinstance(given, dict):
        return Posted(True, [to_event(given, received_ms=received_ms, robot=robot)], {})
    if not isinstance(given, list) or not 1 <= len(given) <= EVENTS:
        raise Refused({"body": f"Want one event as a JSON object, or an array of 1 to {EVENTS}"})
    posted = Posted(False, [], {})
    for index, event in enumerate(given):
        posted.records.append(_take(posted, index, event, received_ms, robot))
    if len(posted.faults) == len(given):
        raise Refused({str(index): faults for index, faults in posted.faults.items()})
    return posted


def _take(posted: Posted, index: int, event: object, received_ms: int, robot: bool) -> Record | None:
    try:
        if not isinstance(event, dict):
            raise Refused({"body": "Want a JSON object"})
        return to_event(event, received_ms=received_ms, robot=robot)
    except Refused as refused:
        posted.faults[index] = refused.message
        return None


def parse_query(query: bytes, defaults: Mapping[str, object], *, received_ms: int, robot: bool) -> Record:
    """The event of a pixel's query string, completed by `defaults`. Raises Refused."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS)
    except ValueError:
        raise Refused({"query": f"More than {QUERY_FIELDS} fields"}) from None
    given = {**defaults, "timestamp": received_ms, "eventType": PAGEVIEW, **dict(pairs)}
    return to_record(to_pageview(given, received_ms=received_ms, robot=robot))


def parse_json(body: bytes) -> object:
    """Strict JSON in UTF-8; half a surrogate pair, which browsers send of a cut emoji, becomes U+FFFD."""
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return orjson.loads(mend.to_strict(body))
    except ValueError:
        raise Refused({"body": "Not JSON in UTF-8"}) from None


def to_event(given: Mapping[str, Any], *, received_ms: int, robot: bool) -> Record:
    """The record of one event as sent. Raises Refused with all its faults."""
    value = to_value_quickly(given, received_ms=received_ms, robot=robot, spell=_spell)
    if value is not None:
        return Record(given["eventId"], to_key(given["uiud"]), value)
    return to_record(to_pageview(given, received_ms=received_ms, robot=robot))


def to_pageview(given: Mapping[str, Any], *, received_ms: int, robot: bool) -> dict[str, Any]:
    """The contract's pageview of one event as sent. Raises Refused with all its faults."""
    pageview, faults = read_fields(given)
    if faults:
        raise Refused(faults)
    sent_ms: int = pageview["timestamp"]
    event_ms = to_event_ms(sent_ms, received_ms=received_ms, sent_ms=pageview.get("sentAt"))
    pageview["timestamp"] = _spell(sent_ms)
    pageview.setdefault("eventId", None)
    # Derived before the clock is corrected: the correction of a retry differs by some milliseconds.
    pageview["eventId"] = pageview["eventId"] or derive_event_id(pageview)
    if event_ms != sent_ms:
        pageview.update(timestamp=_spell(event_ms), clockSkewed=True, originalTimestamp=sent_ms)
    pageview["receivedAt"] = received_ms
    if robot:
        pageview["robot"] = True
    strangers = given.keys() - READERS.keys()
    if strangers:
        pageview["extra"] = to_extra({name: given[name] for name in given if name in strangers})
    return pageview


def _spell(epoch_ms: int) -> str:
    try:
        return f"{_spell_second(epoch_ms // 1000)}.{epoch_ms % 1000:03d}"
    except OverflowError:
        return str(epoch_ms)


@lru_cache(maxsize=4096)
def _spell_second(epoch_s: int) -> str:
    """Most events happened within the last few seconds."""
    return to_event_time(epoch_s * 1000).partition(".")[0]


def to_record(pageview: Mapping[str, Any]) -> Record:
    """The pageview as the topic holds it: the same bytes as contract.message.to_value, in a quarter of the time."""
    kept = {name: pageview[name] for name in FIELDS if pageview.get(name) is not None}
    return Record(pageview["eventId"], to_key(pageview["uiud"]), orjson.dumps(kept))


def to_extra(strangers: Mapping[str, Any]) -> str | None:
    """Fields that the contract does not name, as a JSON object of at most 4096 bytes.

    Those that no longer fit, or that nest too deep, are left out and counted in it as `leftOut`.
    """
    budget, kept, left_out = EXTRA_BYTES - len('{"leftOut":10000}'), {}, 0
    for name, value in strangers.items():
        size = _size({name: value})
        if size > budget:
            left_out += 1
            continue
        budget -= size
        kept[name] = value
    return orjson.dumps({**kept, "leftOut": left_out} if left_out else kept).decode()


def _size(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return EXTRA_BYTES
