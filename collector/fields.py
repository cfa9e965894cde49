"""The fields that a sender may set: how each is read, and what the sender is told when it cannot be."""

from collections.abc import Callable, Mapping
from typing import Any

from contract.names import HEARTBEAT

EMPTY = "This cannot be empty"
INVALID = "Input wasn't valid!"

ID_CHARS = 128
NAME_CHARS = 128
TEXT_CHARS = 16_384
LONG = 2**63

Faults = dict[str, Any]


def read_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], Faults]:
    """The contract's fields of an event as sent, and the message of each one at fault, by its name."""
    fields: dict[str, Any] = {}
    faults: Faults = {}
    for name, read in READERS.items():
        value = given.get(name)
        if type(value) is str and 0 < len(value) <= ID_CHARS and read is _text:
            fields[name] = value  # most are so
        elif value is None or (value == "" and read is not _text):
            if name in REQUIRED:
                faults[name] = INVALID if read is _ms else EMPTY
        else:
            try:
                fields[name] = read(value)
            except ValueError as fault:
                faults[name] = str(fault)
    return fields, faults


def _id(value: object) -> str:
    if (
        type(value) is str
        and value.isascii()
        and value.isprintable()
        and 0 < len(value) <= ID_CHARS
        and " " not in value
    ):
        return value
    return _bounded(_plain(value).strip(), ID_CHARS)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(INVALID)
    if len(value) > TEXT_CHARS:
        raise ValueError(f"Longer than {TEXT_CHARS} characters")
    return value


def _address(value: object) -> str:
    if not _text(value).strip():
        raise ValueError(EMPTY)
    return _text(value)


def _event_type(value: object) -> str:
    name = _bounded(_text(value).strip(), NAME_CHARS)
    if name.casefold() == HEARTBEAT.casefold():
        raise ValueError(f"{HEARTBEAT} is reserved")
    return name


def _landing(value: object) -> str:
    landing = {True: "1", False: "0", "1": "1", "0": "0"}.get(value) if isinstance(value, (bool, int, str)) else None
    if landing is None:
        raise ValueError("Want 1 or 0")
    return landing


def _ms(value: object) -> int:
    if type(value) is int and -LONG <= value < LONG:
        return value
    if isinstance(value, str) and value.lstrip("-").isascii() and value.lstrip("-").isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LONG <= value < LONG:
        raise ValueError(INVALID)
    return int(value)


def _seq(value: object) -> int:
    seq = _ms(value)
    if seq < 1:
        raise ValueError("Want a whole number from 1")
    return seq


def _plain(value: object) -> str:
    """Text, or a whole number as its digits: the first published tag draws a session's id as a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(INVALID)
    return str(int(value))


def _bounded(text: str, limit: int) -> str:
    if not text:
        raise ValueError(EMPTY)
    if len(text) > limit:
        raise ValueError(f"Longer than {limit} characters")
    return text


READERS: dict[str, Callable[[object], Any]] = {
    "timestamp": _ms,
    "uiud": _id,
    "sessionId": _id,
    "pageUrl": _address,
    "eventType": _event_type,
    "lastPageVisited": _text,
    "pageTitle": _text,
    "landingPage": _landing,
    "referrer": _text,
    "eventId": _id,
    "sentAt": _ms,
    "seq": _seq,
}
REQUIRED = frozenset(("timestamp", "uiud", "sessionId", "pageUrl", "eventType"))
