"""Futures that somebody may have stopped waiting for."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


def tell(waiting: "asyncio.Future[T]", value: T) -> None:
    """Wake who waits, if anybody still does."""
    if not waiting.done():
        waiting.set_result(value)
