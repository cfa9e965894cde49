"""Which time an event has: the sender's clock, unless it cannot be right."""

AHEAD_MS = 60_000
"""The stream refuses rows further ahead of Kafka's clock than this: they would make all others late."""

BEHIND_MS = 7 * 24 * 3600 * 1000
"""The tag keeps what it could not send for this long."""


def to_event_ms(timestamp_ms: int, *, received_ms: int, sent_ms: int | None) -> int:
    """The event's time: `timestamp_ms` itself wherever that is possible, so that a retry has the same one.

    A sender whose clock at sending (`sent_ms`) is more than 60 s off the collector's is shifted by the
    difference. What lies outside the last 7 days, or more than 60 s ahead, becomes the time of receipt.
    """
    shift_ms = 0 if sent_ms is None else received_ms - sent_ms
    event_ms = timestamp_ms + shift_ms if abs(shift_ms) > AHEAD_MS else timestamp_ms
    if received_ms - BEHIND_MS <= event_ms <= received_ms + AHEAD_MS:
        return event_ms
    return received_ms
