"""The short way for an event as the tag sends it, which most are: the same bytes as the long way's, sooner."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import orjson

from collector.clock import AHEAD_MS, BEHIND_MS
from collector.fields import ID_CHARS, LONG, READERS, TEXT_CHARS
from contract.names import PAGEVIEW

IN_ORDER: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(
    "timestamp", "uiud", "sessionId", "pageUrl", "eventType", "lastPageVisited", "pageTitle", "landingPage", "referrer",
    "eventId", "sentAt", "seq",
)  # fmt: skip
LANDING = ("0", "1")


def to_value_quickly(
    given: Mapping[str, Any], *, received_ms: int, robot: bool, spell: Callable[[int], str]
) -> bytes | None:
    """The topic's value of an event with exactly the tag's fields, a right clock, and ids of printable ASCII.

    None for any other event, faulty ones included: those are read the long way, which says what is wrong. The bounds
    are the long way's or tighter: what all ids, and all texts, have together is held against the limit of one.
    """
    if len(given) != len(READERS):
        return None
    try:
        sent, uiud, session, page, kind, last, title, landing, referrer, event_id, sent_at, seq = IN_ORDER(given)
        ids, texts = "".join((uiud, session, event_id)), "".join((page, last, title, referrer))
    except (KeyError, TypeError):
        return None
    if (
        kind == PAGEVIEW
        and type(sent) is type(sent_at) is type(seq) is type(landing) is int
        and received_ms - BEHIND_MS <= sent <= received_ms + AHEAD_MS
        and -AHEAD_MS <= received_ms - sent_at <= AHEAD_MS
        and 1 <= seq < LONG
        and 0 <= landing <= 1
        and uiud and session and event_id and len(ids) <= ID_CHARS
        and ids.isascii() and ids.isprintable() and " " not in ids
        and page and not page.isspace() and len(texts) <= TEXT_CHARS
    ):  # fmt: skip
        pageview = {
            "timestamp": spell(sent), "uiud": uiud, "sessionId": session, "pageUrl": page, "eventType": kind,
            "lastPageVisited": last, "pageTitle": title, "landingPage": LANDING[landing], "referrer": referrer,
            "eventId": event_id, "sentAt": sent_at, "receivedAt": received_ms, "seq": seq,
        }  # fmt: skip
        if robot:
            pageview["robot"] = True
        return orjson.dumps(pageview)
    return None
