"""The pageview of a page without JavaScript: an image of one pixel, and two cookies of our own."""

import uuid
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

VISITOR = "uiud"
SESSION = "sessionId"
MAX_AGE_S = {VISITOR: 365 * 24 * 3600, SESSION: 30 * 60}


def is_objected(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the browser asks not to be counted: Do Not Track, or Global Privacy Control."""
    return headers.get(b"dnt") == b"1" or headers.get(b"sec-gpc") == b"1"


def to_identity(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """uiud and sessionId of the visitor: those of the cookies, else new ones."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        jar.clear()
    return {name: _read(jar, name) or str(uuid.uuid4()) for name in (VISITOR, SESSION)}


def _read(jar: "SimpleCookie", name: str) -> str:
    # The tag keeps the number of the session's last event behind a dot.
    value = jar[name].value.partition(".")[0] if name in jar else ""
    return value if len(value) <= 64 and value.isascii() and value.replace("-", "").isalnum() else ""


def to_defaults(identity: Mapping[str, str], headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """What the query string need not say: the page is the one that asks for the image."""
    is_first = SESSION.encode() + b"=" not in headers.get(b"cookie", b"")
    return {
        **identity,
        "pageUrl": headers.get(b"referer", b"").decode("latin-1"),
        "landingPage": "1" if is_first else "0",
        "referrer": "direct",
    }


def to_cookies(identity: Mapping[str, str], *, secure: bool) -> list[tuple[bytes, bytes]]:
    """The cookies, renewed with every view: SameSite=Lax, so that they are sent on the collector's own site only."""
    end = "; Secure" if secure else ""
    return [
        (b"set-cookie", f"{name}={value}; Path=/; Max-Age={MAX_AGE_S[name]}; SameSite=Lax{end}".encode())
        for name, value in identity.items()
    ]
