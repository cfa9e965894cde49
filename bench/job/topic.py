"""The topic that every program of the job's benchmark reads: seeded, and byte for byte the same each time.

Pageviews of visitors at a steady rate, as the collector writes them. 2 % come out of order, by up to 100 s; 0.1 % come
hours late, from visitors of their own, so that the rows of all others are known whatever a program does with late ones;
0.1 % are poison. The last message of each partition lies hours ahead and closes every window.
"""

import hashlib
import heapq
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

PARTITIONS = 4
START_MS = 1_793_491_200_000  # 2026-11-01 00:00:00 UTC
WINDOW_MS = 1_800_000
PAGEVIEWS_A_SECOND = 370
"""8 million lie in six hours: 12 windows."""
GAP_MS = 40_000
MAX_PAGES = 60
VISITORS, COMMON_VISITORS = 2_000_000, 1_000
"""Ranks of Zipf and Mandelbrot: a visitor of rank r comes in proportion to 1 / (r + COMMON_VISITORS)."""
PAGES, COMMON_PAGES = 5_000, 10
DISORDERED, DISORDER_MS = 0.02, 100_000
LATE, LATE_BY_MS = 0.001, 2 * 3_600_000
POISON = 0.001
CLOSING_MS = 3 * 3_600_000
CLOSING, LATE_PREFIX = "closing", "late-"
SITE = "https://www.example.com"
POISONS = (b"", b"{", b"[1,2]", b"\xff\xfe", b'{"uiud":"poison"}', b'{"uiud":"","sessionId":"1","pageUrl":"/"}')


class Message(NamedTuple):
    """A message of the topic. `at_ms` is its Kafka timestamp: when it is sent."""

    partition: int
    key: bytes
    value: bytes
    at_ms: int


class Hit(NamedTuple):
    """A pageview that must be in the sessions: what the programs are compared by."""

    at_ms: int
    page_url: str
    referrer: str
    landing_page: str


@dataclass
class Session:
    """A visitor's running session; `pages_left` after the next one."""

    uiud: str
    session_id: str
    pages_left: int
    seq: int = 0
    last_url: str = ""


def digest(uiud: str, session_id: str, window_start_ms: int, hits: list[Hit]) -> int:
    """Of one row, so that the sum over all rows does not depend on their order, nor on that of the hits."""
    text = f"{uiud}|{session_id}|{window_start_ms}|{sorted(hits)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=12).digest(), "big")


class Expected:
    """The rows that the messages sent so far must end in, as a count and a sum of digests."""

    def __init__(self) -> None:
        self.rows = self.pageviews = self.total = 0
        self.open: defaultdict[int, defaultdict[tuple[str, str], list[Hit]]]
        self.open = defaultdict(lambda: defaultdict(list))

    def add(self, session: Session, hit: Hit, sent_ms: int) -> None:
        """Count a hit in; windows that no later message can belong to are summed up."""
        self.pageviews += 1
        self.open[hit.at_ms // WINDOW_MS * WINDOW_MS][session.uiud, session.session_id].append(hit)
        for start in [start for start in self.open if start + WINDOW_MS + DISORDER_MS < sent_ms]:
            self._close(start)

    def _close(self, start: int) -> None:
        for (uiud, session_id), hits in self.open.pop(start).items():
            self.rows += 1
            self.total += digest(uiud, session_id, start, hits)

    def close(self) -> dict[str, int | str]:
        """The sum over everything."""
        for start in list(self.open):
            self._close(start)
        return {"rows": self.rows, "pageviews": self.pageviews, "digest": f"{self.total % 2**96:024x}"}


def messages(seed: int, pageviews: int, expected: Expected) -> Iterator[Message]:
    """All messages in the order of sending; `expected` has their rows when the last one is taken."""
    rng = random.Random(seed)
    waiting: list[tuple[int, int, Message, Session, Hit]] = []
    for number, (at_ms, session) in enumerate(_visits(rng, pageviews)):
        while waiting and waiting[0][0] <= at_ms:
            _, _, message, owner, hit = heapq.heappop(waiting)
            expected.add(owner, hit, message.at_ms)
            yield message
        draw = rng.random()
        if draw < POISON:
            yield Message(rng.randrange(PARTITIONS), b"poison", rng.choice(POISONS), at_ms)
        elif draw < POISON + LATE:
            stranger = Session(f"{LATE_PREFIX}{number}", "1", 0)
            value, _ = _pageview(rng, stranger, at_ms - LATE_BY_MS, at_ms)
            yield Message(number % PARTITIONS, stranger.uiud.encode(), value, at_ms)
        sent_ms = at_ms + (int(rng.random() * DISORDER_MS) if rng.random() < DISORDERED else 0)
        value, hit = _pageview(rng, session, at_ms, sent_ms)
        message = Message(_partition(session.uiud), session.uiud.encode(), value, sent_ms)
        if sent_ms > at_ms:
            heapq.heappush(waiting, (sent_ms, number, message, session, hit))
        else:
            expected.add(session, hit, sent_ms)
            yield message
    last_ms = at_ms + DISORDER_MS
    for _, _, message, owner, hit in sorted(waiting):
        expected.add(owner, hit, message.at_ms)
        yield message
    for partition in range(PARTITIONS):
        closing = Session(CLOSING, str(partition), 0)
        value, _ = _pageview(rng, closing, last_ms + CLOSING_MS, last_ms + CLOSING_MS)
        yield Message(partition, CLOSING.encode(), value, last_ms + CLOSING_MS)


def _visits(rng: random.Random, pageviews: int) -> Iterator[tuple[int, Session]]:
    """When each pageview happens, and whose it is: a session that runs goes on when it is due, else one begins."""
    due: list[tuple[float, int, Session]] = []
    for number in range(pageviews):
        now = number * 1000 / PAGEVIEWS_A_SECOND
        if due and due[0][0] <= now:
            _, _, session = heapq.heappop(due)
        else:
            rank = _rank(rng, VISITORS, COMMON_VISITORS)
            # 1 to 60 pages, 3 in the mean: most sessions are short, some are long.
            session = Session(_uuid(rank * 0x9E3779B97F4A7C15F39CC0605CEDC835), f"{rng.getrandbits(40):011x}",
                              min(MAX_PAGES, int(rng.paretovariate(1.3))) - 1)  # fmt: skip
        yield START_MS + int(now), session
        if session.pages_left:
            session.pages_left -= 1
            heapq.heappush(due, (now + 1000 + rng.expovariate(1 / GAP_MS), number, session))


def _pageview(rng: random.Random, session: Session, at_ms: int, sent_ms: int) -> tuple[bytes, Hit]:
    page = _rank(rng, PAGES, COMMON_PAGES)
    session.seq += 1
    first = session.seq == 1
    url = f"{SITE}/articles/{page % 12}/{page}-a-page-of-the-site.html"
    referrer = "https://www.google.com/" if first and page & 1 else "direct"
    landing = "1" if first else "0"
    value = (
        f'{{"timestamp":"{to_text(at_ms)}","uiud":"{session.uiud}","sessionId":"{session.session_id}",'
        f'"pageUrl":"{url}","eventType":"Pageview","lastPageVisited":"{session.last_url}",'
        f'"pageTitle":"Page {page} of the site","landingPage":"{landing}","referrer":"{referrer}",'
        f'"eventId":"{_uuid(rng.getrandbits(128))}","sentAt":{sent_ms},"receivedAt":{sent_ms + 20},'
        f'"seq":{session.seq}}}'
    )
    session.last_url = url
    return value.encode(), Hit(at_ms, url, referrer, landing)


def to_text(at_ms: int) -> str:
    """yyyy-MM-dd HH:mm:ss.SSS in UTC."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03d}"


_seconds: dict[int, str] = {}


def _second(second: int) -> str:
    found = _seconds.get(second)
    if found is None:
        found = _seconds[second] = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return found


def _rank(rng: random.Random, ranks: int, common: int) -> int:
    return int(common * ((ranks / common + 1) ** rng.random() - 1))


def _uuid(bits: int) -> str:
    text = f"{bits % 2**128:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _partition(uiud: str) -> int:
    return int(uiud[:8], 16) % PARTITIONS
