"""A line between the collector and the broker that can be slow, narrow, chopped, or cut."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass

from tests.collector.parts import HOST


@dataclass
class Line:
    """Forwards every connection to `target` from a port of its own. Its ills are set while it runs."""

    target: int = 0
    delay_s: float = 0.0
    bytes_s: float = 0.0
    slice_bytes: int = 65_536
    cut_after_s: float = 0.0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server = self._loop.run_until_complete(asyncio.start_server(self._join, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def heal(self) -> None:
        """No ill any more."""
        self.delay_s = self.bytes_s = self.cut_after_s = 0.0
        self.slice_bytes = 65_536

    def close(self) -> None:
        """Forward nothing more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        ways = [self._forward(reader, back), self._forward(there, writer), self._cut()]
        tasks = [self._loop.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, back):
            end.transport.abort()  # a reset, as a broken line has it

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        pump = self._loop.create_task(self._deliver(late, writer))
        try:
            while part := await reader.read(self.slice_bytes):
                late.put_nowait((self._loop.time() + self.delay_s, part))
                if self.bytes_s:
                    await asyncio.sleep(len(part) / self.bytes_s)
        except OSError:
            pass
        finally:
            pump.cancel()

    async def _deliver(self, late: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, part = await late.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                writer.write(part)
                await writer.drain()

    async def _cut(self) -> None:
        begun = self._loop.time()
        while not 0 < self.cut_after_s < self._loop.time() - begun:
            await asyncio.sleep(0.05)
