"""Many waiting writers, one fsync: what arrives while the disk is busy goes into the next group."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from collector.spool import Spool


class GroupWriter:
    """Appends to a spool from an event loop. One thread writes, so that groups keep their order."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether records are on their way to the disk."""
        return bool(self._waiting) or (self._writing is not None and not self._writing.done())

    def append(self, frames: Sequence[bytes]) -> asyncio.Future[None]:
        """Done when the disk has `frames`; else SpoolFull, the disk's OSError, or whatever else went wrong."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((frames, done))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_groups())
        return done

    async def _write_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            fault: Exception | None = None
            frames = [frame for frames, _ in group for frame in frames]
            try:
                await loop.run_in_executor(self._thread, self._spool.write, frames)
            except Exception as error:  # noqa: BLE001 - whatever it is: who waits must hear of it
                fault = error
            for _, done in group:
                _settle(done, fault)

    def close(self) -> None:
        """Wait for the write that is under way."""
        self._thread.shutdown(wait=True)


def _settle(done: asyncio.Future[None], fault: Exception | None) -> None:
    if done.done():  # its request was cut off; the record stays
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)
