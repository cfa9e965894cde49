"""The message on the topic: canonical JSON of a pageview, its key, its derived eventId."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from contract.names import HEARTBEAT
from contract.schemas import field_names

FIELDS = field_names("pageview")

DERIVED_FROM = ("uiud", "sessionId", "timestamp", "eventType", "pageUrl", "lastPageVisited", "referrer")
"""The fields that a derived eventId stands for, in this order; the job derives by the same rule."""

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_event_time(epoch_ms: int) -> str:
    """Milliseconds since the epoch as the topic spells them: 'yyyy-MM-dd HH:mm:ss.SSS', UTC.

    Raises OverflowError outside the years 1 to 9999.
    """
    at = EPOCH + timedelta(milliseconds=epoch_ms)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}".rjust(23, "0")


def to_value(pageview: Mapping[str, object]) -> bytes:
    """The message's value: the contract's fields in the contract's order, nulls left out, UTF-8.

    Equal pageviews have equal bytes. Raises KeyError for a field that the contract does not name.
    """
    strangers = set(pageview) - set(FIELDS)
    if strangers:
        raise KeyError(f"not a field of the contract: {', '.join(sorted(strangers))}")
    kept = {name: pageview[name] for name in FIELDS if pageview.get(name) is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def to_key(uiud: str) -> bytes:
    """The message's key: the visitor. Live senders leave the partition to it; an import chooses partitions in turn."""
    return uiud.encode("utf-8", "replace")


def derive_event_id(pageview: Mapping[str, object]) -> str:
    """An eventId for a pageview that came without one: equal content, equal id.

    `timestamp` must be as the topic spells it, with milliseconds. The prefix tells it from a sender's UUID.
    """
    parts = ("" if pageview.get(name) is None else str(pageview[name]) for name in DERIVED_FROM)
    return "content-" + hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def heartbeat(epoch_ms: int) -> bytes:
    """A message without a visitor that moves the watermark to `epoch_ms` and is in no table."""
    return to_value({"timestamp": to_event_time(epoch_ms), "eventType": HEARTBEAT})
