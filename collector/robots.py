"""Robots by their user agent: flagged, never dropped, so that the decision stays with the reader of the table."""

from functools import lru_cache

import crawleruseragents

AGENT_BYTES = 256
"""Robots name themselves early, and the list's search costs time by the character."""


def is_robot(user_agent: bytes) -> bool:
    """Whether the kept list crawler-user-agents knows the header's value, read to its first 256 bytes."""
    return _known(user_agent[:AGENT_BYTES])


@lru_cache(maxsize=16_384)
def _known(user_agent: bytes) -> bool:
    return bool(crawleruseragents.is_crawler(user_agent.decode("latin-1")))
