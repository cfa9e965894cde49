"""What one simulated visitor sends, and what nobody should send. Pure."""

import json
import random
import uuid
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from contract.message import derive_event_id, to_event_time, to_value
from contract.names import PAGEVIEW
from contract.reasons import Reason

SITE = "https://shop.example"
PAGES = ("/", *(f"/{room}/{name}" for room in ("blog", "product", "help") for name in "abcdefghijkl"))
WEIGHTS = tuple(accumulate(1 / rank for rank in range(1, len(PAGES) + 1)))
OUTSIDE = ("https://www.google.com/", "https://news.example/item?id=1", "https://s%C3%B6k.example/?q=caf%C3%A9")
CUSTOM = ("AddToCart", "Search", "Signup")

MIN_GAP_MS = 2000
"""Above one second, so that pageviews of whole seconds differ in their time, and so in their derived eventId."""
MAX_GAP_MS = 60_000
MAX_PAUSE_MS = 1_500_000
"""At most one pause a session, shorter than the 30 minutes that would end it."""


@dataclass(frozen=True)
class Session:
    """One session of one visitor, and the way its sender writes."""

    uiud: str
    session_id: str
    published: bool
    robot: bool
    skewed: bool
    seed: int


def draw_gaps(seed: int, pages: int) -> list[int]:
    """The ms between the session's pageviews, pages - 1 of them; equal for equal arguments."""
    rng = random.Random(seed)
    gaps = [MIN_GAP_MS + int((MAX_GAP_MS - MIN_GAP_MS) * rng.random() ** 2) for _ in range(pages - 1)]
    if gaps and rng.random() < 0.2:
        gaps[int(rng.random() * len(gaps))] = int(MAX_PAUSE_MS * (0.2 + 0.8 * rng.random()))
    return gaps


def pageviews_of(session: Session, times_ms: list[int]) -> Iterator[tuple[int, str, bytes]]:
    """Event time in ms, eventId and message of each pageview; popular pages are viewed as Zipf's law has it."""
    rng = random.Random(session.seed + 1)
    referrer, landing, previous = ("direct", "1", "") if rng.random() < 0.5 else _from_outside(rng)
    for seq, at_ms in enumerate(times_ms, 1):
        page = PAGES[bisect(WEIGHTS, rng.random() * WEIGHTS[-1])]
        pageview = {
            "timestamp": to_event_time(at_ms),
            "lastPageVisited": previous,
            "pageUrl": SITE + page,
            "eventType": PAGEVIEW,
            "landingPage": landing,
            "referrer": referrer,
            "uiud": session.uiud,
            "sessionId": session.session_id,
        }
        yield at_ms, *(_published(pageview, rng) if session.published else _current(pageview, rng, session, seq, at_ms))
        referrer, landing, previous = "direct", "0", SITE + page


def custom(session: Session, at_ms: int, rng: random.Random) -> tuple[str, bytes]:
    """eventId and message of a custom event: of the archive, and of no session."""
    event_id = draw_uuid(rng)
    event = {
        "timestamp": to_event_time(at_ms),
        "pageUrl": SITE + "/",
        "eventType": CUSTOM[int(rng.random() * len(CUSTOM))],
        "uiud": session.uiud,
        "sessionId": session.session_id,
        "eventId": event_id,
    }
    return event_id, to_value(event)


def bad_values(reason: Reason, start_ms: int, rng: random.Random) -> Iterator[bytes | None]:
    """Messages that must be refused for `reason` and no other, without end; each is new, its kind comes again."""
    kinds = _undecodable() if reason is Reason.UNDECODABLE else tuple(_faults(reason, start_ms))
    while True:
        for kind in kinds:
            if kind is None or isinstance(kind, bytes):
                yield kind
                continue
            whole = {**_whole(rng, start_ms), **kind}
            yield json.dumps({name: value for name, value in whole.items() if value is not LEFT_OUT}).encode()


LEFT_OUT: Any = object()


def _undecodable() -> tuple[bytes | None, ...]:
    whole = json.dumps(_whole(random.Random(0), 0))
    in_list, cut = f"[{whole}]".encode(), whole[:-9].encode()
    return (b"not json", None, b"", b"[]", in_list, b'"text"', b"17", b"null", cut, b"\xff\xfe\x00")


def _faults(reason: Reason, start_ms: int) -> list[Mapping[str, Any]]:
    fields = {
        Reason.MISSING_UIUD: "uiud",
        Reason.MISSING_SESSION_ID: "sessionId",
        Reason.MISSING_TIMESTAMP: "timestamp",
        Reason.MISSING_PAGE_URL: "pageUrl",
    }
    if reason in fields:
        return [{fields[reason]: value} for value in (LEFT_OUT, None, "")]
    times = {
        Reason.UNREADABLE_TIMESTAMP: ("yesterday", "2026-13-01 00:00:00", "10:00", "2026-02-30 00:00:00.000", True),
        Reason.TIMESTAMP_OUT_OF_RANGE: ("1969-12-31 23:59:59.999", "1601-01-01 00:00:00"),
        Reason.TIMESTAMP_IN_FUTURE: (to_event_time(start_ms + 86_400_000), to_event_time(start_ms + 10**12)),
    }
    return [{"timestamp": value} for value in times[reason]]


def _whole(rng: random.Random, start_ms: int) -> dict[str, Any]:
    return {
        "timestamp": to_event_time(max(0, start_ms - 7_200_000)),
        "pageUrl": SITE + "/",
        "uiud": draw_uuid(rng),
        "sessionId": "1",
        "eventId": draw_uuid(rng),
    }


def _from_outside(rng: random.Random) -> tuple[str, str, str]:
    referrer = OUTSIDE[int(rng.random() * len(OUTSIDE))]
    return referrer, "1", referrer


def _current(pageview: dict[str, Any], rng: random.Random, session: Session, seq: int, at_ms: int) -> tuple[str, bytes]:
    event_id = draw_uuid(rng)
    more: dict[str, Any] = {"eventId": event_id, "seq": seq, "sentAt": at_ms + 40, "receivedAt": at_ms + 90}
    if session.skewed:
        more |= {"clockSkewed": True, "originalTimestamp": at_ms + 5_400_000}
    if session.robot:
        more["robot"] = True
    title = f"Page \u201e{pageview['pageUrl'].rpartition('/')[2] or 'home'}\u201c"
    return event_id, to_value({**pageview, "pageTitle": title, **more})


def _published(pageview: dict[str, Any], rng: random.Random) -> tuple[str, bytes]:
    """As the first API wrote it: whole seconds, numbers where the tag had numbers, no eventId."""
    whole_second = pageview["timestamp"][:-4]
    pageview = {**pageview, "timestamp": f"{whole_second}.000"}
    event_id = derive_event_id(pageview)
    sent = {**pageview, "timestamp": whole_second}
    if rng.random() < 0.5:
        sent |= {"sessionId": int(pageview["sessionId"]), "landingPage": int(pageview["landingPage"])}
    return event_id, json.dumps(sent).encode()


def draw_uuid(rng: random.Random) -> str:
    """A random UUID, the same for the same state of `rng`."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
