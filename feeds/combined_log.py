"""One line of a web server's combined log, as Apache and nginx write it. Pure."""

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_from_bytes

MAX_LINE_BYTES = 65_536
"""Longer than any request line that Apache (8 KiB) or nginx (32 KiB) lets in, with its referrer and user agent."""

TEXT = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
LINE = re.compile(rf"(\S+) \S+ .+? \[([^\]]{{0,64}})\] {TEXT} (\d{{3}}) (?:\d+|-) {TEXT} {TEXT}(?: .*)?", re.DOTALL)
TIME = re.compile(r"(\d{2})/(\w{3})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "v": "\v", "f": "\f"}
URL_SAFE = "%/?#[]@!$&'()*+,;=:~-._"


class DamagedLine(ValueError):
    """The line is not a request that can be read. The text says why, and repeats nothing of the line."""


class Request(NamedTuple):
    """What one line says. `second` is since the epoch, UTC; absent texts are None."""

    host: str
    second: int
    method: str
    target: str
    status: int
    referrer: str | None
    agent: str


def parse_line(line: bytes) -> Request:
    """The request of one line, without its line end. Fields after the user agent are passed over.

    URLs come out as encodeURI writes them, except that an escape already there stays as it is.
    Raises DamagedLine.
    """
    if len(line) > MAX_LINE_BYTES:
        raise DamagedLine(f"longer than {MAX_LINE_BYTES} bytes")
    # latin-1 keeps every byte; what is not ASCII is decoded with the escapes below.
    match = LINE.fullmatch(line.decode("latin-1"))
    if match is None:
        raise DamagedLine("not in the combined log format")
    host, at, request, status, referrer, agent = match.groups()
    method, target = _parse_request(request)
    return Request(host, _parse_time(at), method, target, int(status), _to_referrer(referrer), _unescape(agent))


def _parse_request(request: str) -> tuple[str, str]:
    method, _, rest = request.partition(" ")
    target, _, protocol = rest.rpartition(" ")
    return method, target if protocol.startswith("HTTP/") else rest


@lru_cache(maxsize=4096)
def _parse_time(text: str) -> int:
    match = TIME.fullmatch(text)
    if match is None:
        raise DamagedLine("its time cannot be read")
    day, _, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == "-" else 1)
    try:
        local = datetime(
            int(year), MONTHS.index(match[2]) + 1, int(day), int(hour), int(minute), int(second), tzinfo=timezone.utc
        )
        return int((local - offset).timestamp())
    except (ValueError, OverflowError):
        raise DamagedLine("its time cannot be read") from None


def _to_referrer(text: str) -> str | None:
    return None if text in ("", "-") else to_url(text)


@lru_cache(maxsize=65_536)
def to_url(text: str) -> str:
    """A URL of the log in ASCII: the server's own escapes undone, then percent-encoded."""
    return quote_from_bytes(_unescape_bytes(text), safe=URL_SAFE)


def _unescape(text: str) -> str:
    return _unescape_bytes(text).decode("utf-8", "replace")


def _unescape_bytes(text: str) -> bytes:
    return ESCAPE.sub(_to_character, text).encode("latin-1")


def _to_character(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) == 3:
        return chr(int(escaped[1:], 16))
    return CONTROLS.get(escaped, escaped)
