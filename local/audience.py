"""Simulated visitors who send to the collector over HTTP, as the tag does: now, at once, and again until answered."""

import http.client
import json
import random
import threading
import time
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from contract.message import derive_event_id, to_event_time
from contract.names import PAGEVIEW
from local.ledger import Ledger, Outcome
from local.messages import CUSTOM, OUTSIDE, PAGES, SITE, WEIGHTS, draw_uuid

EVENTS_PATH = "/api/webeventspub"
ACTIVE = 100
"""Visitors on the site at one time: the pageviews of a session come among those of so many others."""
MAX_PAGES = 30
PUBLISHED = 0.2
"""Share of the visitors whose page has the first published tag: no eventId, no seq, a number as session."""
TIMEOUT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
LATE_BY_MS = 3_600_000
FINAL = frozenset((400, 401, 403, 413))
"""What the tag never sends again."""


class Sort(str, Enum):
    """What kind of event a visitor sends."""

    PAGEVIEW = "pageview"
    CUSTOM = "custom"
    LATE = "late"
    """Of an hour ago: from a browser that had no network since."""
    FAULTY = "faulty"
    """Without a visitor: the collector refuses it."""


@dataclass(frozen=True)
class Draft:
    """An event that is to be sent. `again`: once more after its answer, as by a browser that never saw the answer."""

    sort: Sort
    event: dict[str, Any]
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of all events, the share of each special kind."""

    again: float = 0.01
    custom: float = 0.005
    late: float = 0.0
    faulty: float = 0.002


def draw(seed: int, shares: Shares) -> Iterator[Draft]:
    """Events of visitors without end; equal arguments, equal events. Times are set when an event is sent."""
    rng = random.Random(seed)
    active = [_session(rng) for _ in range(ACTIVE)]
    while True:
        place = int(rng.random() * len(active))
        event = next(active[place], None)
        if event is None:
            active[place] = _session(rng)
            continue
        chance = rng.random()
        for share, sort in ((shares.custom, Sort.CUSTOM), (shares.late, Sort.LATE), (shares.faulty, Sort.FAULTY)):
            if chance < share:
                yield Draft(sort, _special(sort, event, rng))
                break
            chance -= share
        yield Draft(Sort.PAGEVIEW, event, again=rng.random() < shares.again)


def _session(rng: random.Random) -> Iterator[dict[str, Any]]:
    """The pageviews of one session. Popular pages are viewed as Zipf's law has it."""
    pages = min(MAX_PAGES, int((1 - rng.random()) ** -0.8))
    published = rng.random() < PUBLISHED
    outside = rng.random() < 0.5
    visitor = {"uiud": draw_uuid(rng), "sessionId": int(rng.random() * 1e9) if published else draw_uuid(rng)}
    previous = OUTSIDE[int(rng.random() * len(OUTSIDE))] if outside else ""
    for seq in range(1, pages + 1):
        page = PAGES[bisect(WEIGHTS, rng.random() * WEIGHTS[-1])]
        landing = seq == 1 and outside
        event = {
            "lastPageVisited": previous, "pageUrl": SITE + page, "pageTitle": page.rpartition("/")[2] or "home",
            "eventType": PAGEVIEW, "landingPage": int(landing), "referrer": previous if landing else "direct",
            **visitor,
        }  # fmt: skip
        yield event if published else {**event, "eventId": draw_uuid(rng), "seq": seq}
        previous = SITE + page


def _special(sort: Sort, event: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    fresh = {**event, "eventId": draw_uuid(rng)}
    if sort is Sort.CUSTOM:
        return {**fresh, "eventType": CUSTOM[int(rng.random() * len(CUSTOM))]}
    if sort is Sort.FAULTY:
        return {**fresh, "uiud": ""}
    return {**fresh, "uiud": draw_uuid(rng)}


@dataclass
class Audience:
    """Connections that send drafts until `events` are sent, or until they are told to stop.

    `per_second` paces all of them together; without it they send as fast as answers come. Every event is entered into
    the ledger before it is sent, and sent again with the same content until it is answered, as the tag does.
    """

    url: str
    ledger: Ledger
    drafts: Iterator[Draft]
    events: int | None = None
    per_second: float | None = None
    connections: int = 8
    sent: int = 0
    again: int = 0
    """Sendings beyond the first of an event."""
    slowest_s: float = 0.0
    failures: list[Exception] = field(default_factory=list)
    """What ended a sender: the collector answered what it must not."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _given_up: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to send."""
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.connections)]
        self._begun_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def done(self) -> bool:
        """Whether all was sent and answered. Raises what ended a sender."""
        self._raise()
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self, patience_s: float = 60.0) -> None:
        """Draw no more events, and wait until those on their way are answered; after `patience_s` they stay unknown."""
        self._stopped.set()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._given_up.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + LONGEST_PAUSE_S)
        self._raise()

    def _raise(self) -> None:
        if self.failures:
            raise self.failures[0]

    def _run(self) -> None:
        connection = _Connection(self.url)
        try:
            while (draft := self._take()) is not None:
                event_id, event = to_posted(draft, _now_ms())
                self.ledger.begin(event_id, event)
                self.ledger.end(event_id, self._send(connection, event_id, event, again=draft.again))
        except Exception as error:  # noqa: BLE001  a thread's end must not pass for the end of its work
            self.failures.append(error)
        finally:
            connection.close()

    def _take(self) -> Draft | None:
        """The next draft at its time; None when there are no more."""
        with self._lock:
            if self._stopped.is_set() or (self.events is not None and self.sent >= self.events):
                return None
            due_s = self._begun_s + self.sent / self.per_second if self.per_second else 0.0
            self.sent += 1
            draft = next(self.drafts)
        wait_s = due_s - time.monotonic()
        return None if wait_s > 0 and self._stopped.wait(wait_s) else draft

    def _send(self, connection: "_Connection", event_id: str, event: dict[str, Any], *, again: bool) -> Outcome:
        pause_s = FIRST_PAUSE_S
        begun_s = time.monotonic()
        acknowledged = False
        while not self._given_up.is_set():
            status, answered_id = connection.post(event)
            if status == 200 and answered_id != event_id:
                raise RuntimeError(f"the collector took the event {event_id} and calls it {answered_id}")
            acknowledged = acknowledged or status == 200
            if status == 200 and not again:
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
                return Outcome.OK
            if status in FINAL:
                return Outcome.REFUSED
            again = again and status != 200
            self.again += 1
            if status != 200:
                self._given_up.wait(pause_s * (0.5 + random.random()))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        return Outcome.OK if acknowledged else Outcome.UNKNOWN


class _Connection:
    """One connection to the collector that outlives the collector."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)

    def post(self, event: dict[str, Any]) -> tuple[int, str | None]:
        """The status and the id of the answer; status 0 where there was none. sentAt is the time of this sending."""
        body = json.dumps({**event, "sentAt": _now_ms()} if "seq" in event else event)
        try:
            self._connection.request("POST", EVENTS_PATH, body, {"content-type": "application/json"})
            answer = self._connection.getresponse()
            said = json.loads(answer.read())
            return answer.status, said.get("id") if isinstance(said, dict) else None
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return 0, None

    def close(self) -> None:
        self._connection.close()


def to_posted(draft: Draft, now_ms: int) -> tuple[str, dict[str, Any]]:
    """The id that the collector must give the event, and the event as it is posted at `now_ms`."""
    at_ms = now_ms - LATE_BY_MS if draft.sort is Sort.LATE else now_ms
    event = {"timestamp": at_ms, **draft.event}
    return event.get("eventId") or derive_event_id({**event, "timestamp": to_event_time(at_ms)}), event


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
