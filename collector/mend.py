"""JSON that a browser may send and strict parsers refuse: a byte order mark, and half of a surrogate pair."""

import re

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

ESCAPES = re.compile(
    rb"\\[^u]"  # another escape, so that an escaped backslash before "u" is not misread
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"  # half of one
)
HALF_CHARS = 6


def to_strict(body: bytes) -> bytes:
    """The same JSON without a byte order mark, and with U+FFFD where half of a surrogate pair stands."""
    return ESCAPES.sub(_whole, body.removeprefix(BYTE_ORDER_MARK))


def _whole(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if len(match[0]) == HALF_CHARS else match[0]
