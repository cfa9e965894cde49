"""Requests of a log as the pageviews that the tag would have sent. Pure: equal lines in, equal pageviews out."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from urllib.parse import urlsplit

from contract.message import to_event_time
from contract.names import PAGEVIEW

SILENCE_S = 1800
"""As the tag's session cookie: at 1800 s it has expired, at 1799 s it has not."""

VISITORS = uuid.UUID("6d1d0e0e-2f0b-5d0a-9b57-0a6c3a1f7b11")
LINES = uuid.UUID("0c5b7d52-8a44-5c1e-8f0e-5f1c9e2f6a32")


class Hit(NamedTuple):
    """A request that is a pageview. Sorts by time; equal lines lie side by side, those of one file together."""

    second: int
    digest: bytes
    file: int
    uiud: str
    target: str
    referrer: str | None
    robot: bool


def to_digest(line: bytes) -> bytes:
    """What equal lines have in common."""
    return hashlib.blake2b(line, digest_size=16).digest()


@lru_cache(maxsize=65_536)
def to_uiud(host: str, agent: str) -> str:
    """The visitor: the same for the same host and user agent in every log. No secret: host and agent can be guessed."""
    return str(uuid.uuid5(VISITORS, f"{host}\n{agent}"))


@lru_cache(maxsize=65_536)
def to_origin(url: str) -> str | None:
    """scheme://host[:port] of a URL, in lower case; None where it has no host."""
    try:
        parts = urlsplit(url)
        return (
            f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in ("http", "https") and parts.netloc else None
        )
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def to_host(url: str) -> str | None:
    """The URL's host as sites are told apart: without a leading www., without user and port."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.") or None
    except ValueError:
        return None


def derive_site(origins: Counter[str]) -> str | None:
    """The site whose log it is: the origin that most referrers name, its host counted with and without www.

    A page fetches its own images and styles, so a site's own addresses lead every log that has referrers.
    """
    hosts: Counter[str] = Counter()
    for origin, times in origins.items():
        hosts[to_host(origin) or ""] += times
    if not hosts:
        return None
    # The name breaks a tie, so that the order of the lines does not matter.
    own = max(hosts, key=lambda host: (hosts[host], host))
    return max((origin for origin in origins if to_host(origin) == own), key=lambda origin: (origins[origin], origin))


def distinct_hits(hits: Iterable[Hit]) -> Iterator[tuple[Hit, str | None]]:
    """Sorted hits, each with its eventId; None for a line that another file had already.

    The id depends on the line's text alone, not on its place: a log imported twice has the same ids. Equal
    lines in one file are requests of their own and are numbered; an equal line in a second file is the same one.
    """
    for digest, equal in groupby(hits, key=attrgetter("digest")):
        given = 0
        for _, in_file in groupby(equal, key=attrgetter("file")):
            for number, hit in enumerate(in_file):
                if number < given:
                    yield hit, None
                    continue
                given += 1
                yield hit, str(uuid.uuid5(LINES, f"{digest.hex()}#{number}"))


class Visits:
    """Sessions of visitors whose hits come in the order of time: 30 minutes of silence end one."""

    def __init__(self) -> None:
        self.sessions = 0
        self._open: dict[str, tuple[int, str]] = {}

    @property
    def visitors(self) -> int:
        """The number of visitors seen."""
        return len(self._open)

    def session_of(self, hit: Hit) -> str:
        """The sessionId: made of the visitor and the second in which the session began."""
        last, session = self._open.get(hit.uiud, (hit.second - SILENCE_S, ""))
        if hit.second - last >= SILENCE_S:
            session = hashlib.blake2b(f"{hit.uiud} {hit.second}".encode(), digest_size=8).hexdigest()
            self.sessions += 1
        self._open[hit.uiud] = (hit.second, session)
        return session


def to_pageview(hit: Hit, event_id: str, session: str, *, site: str) -> dict[str, object]:
    """The pageview as the tag would have sent it; a title is unknown to a log. `site` is scheme://host[:port]."""
    landing, referrer = to_landing(hit.referrer, site)
    return {
        "timestamp": to_event_time(hit.second * 1000),
        "uiud": hit.uiud,
        "sessionId": session,
        "pageUrl": to_page_url(hit.target, site),
        "eventType": PAGEVIEW,
        "lastPageVisited": hit.referrer or "",
        "landingPage": landing,
        "referrer": referrer,
        "eventId": event_id,
        "robot": True if hit.robot else None,
    }


def to_landing(referrer: str | None, site: str) -> tuple[str, str]:
    """landingPage and referrer by the tag's rule: from nowhere ('1', 'direct'), from another site ('1', its
    address), from within the site ('0', 'direct')."""
    if referrer is None:
        return "1", "direct"
    if to_host(referrer) == to_host(site):
        return "0", "direct"
    return "1", referrer


def to_page_url(target: str, site: str) -> str:
    """The page's address. A target may be a path, or a whole address as a proxy is asked for it."""
    return target if to_origin(target) else f"{site}/{target.removeprefix('/')}"


def is_own(target: str, site: str) -> bool:
    """Whether the target lies on the site: a path does, a whole address does by its host."""
    return to_origin(target) is None or to_host(target) == to_host(site)
