"""Where a pageview becomes safe: at the broker, or on the disk until the broker is back."""

import asyncio
import errno
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import KafkaError

from collector.frames import Frame, to_frame
from collector.futures import tell
from collector.group import GroupWriter
from collector.metrics import Metrics
from collector.producer import TRY_MS, Producer
from collector.spool import Spool, SpoolFull
from collector.wire import Record
from contract.failures import TransientError
from contract.message import heartbeat

Done = Callable[[Exception | None], None]

log = logging.getLogger(__name__)

HEARTBEAT_S = 60.0
RETRY_S = (0.2, 2.0)
WRITER_S = 0.005
DRAIN_WAIT_S = TRY_MS / 1000 + 5
"""Longer than librdkafka tries: what it still has is not sent a second time."""

NEVER_ACCEPTED = frozenset(
    (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD, KafkaError._BAD_MSG)
)
"""A broker says the same of such a record each time: it would hold up all behind it."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Sink:
    """Stores records, and says when they are safe.

    While the spool holds anything, all records go through it, and heartbeats wait: a newer event that
    overtakes would move the watermark past the older ones.
    """

    def __init__(
        self, producer: Producer, spool: Spool, metrics: Metrics, *, ack_wait_s: float, now_ms: Callable[[], int]
    ) -> None:
        self._producer, self._spool, self._metrics = producer, spool, metrics
        self._writer = GroupWriter(spool)
        self._ack_wait_s, self._now_ms = ack_wait_s, now_ms
        self._spooling = not spool.empty
        self._answered = False  # the broker took what it was asked last, while spooling
        self._draining: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def spooling(self) -> bool:
        """Whether records go to the disk, because the broker is away or the spool is not yet drained."""
        return self._spooling

    @property
    def spool_full(self) -> bool:
        """Whether the spool has no room for another request."""
        return self._spool.size_bytes >= self._spool.limit_bytes * 0.95

    def open(self) -> None:
        """Begin: drain what an earlier process left, and send heartbeats."""
        self._producer.open()
        if self._spooling:
            self._start_draining()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    def begin(self, records: Sequence[Record], done: Done) -> None:
        """Store `records`. `done` is told when the broker's replicas or the disk have them: None,
        or SpoolFull, or TransientError when the disk fails: then nothing was promised.
        """
        if self._spooling:
            self._to_disk(records, done)
        else:
            self._producer.send(records, self._ack_wait_s, partial(self._on_answer, records, done))

    def _on_answer(self, records: Sequence[Record], done: Done, fault: KafkaError | None) -> None:
        if fault is None:
            self._metrics.stored("kafka", len(records))
            done(None)
            return
        if not self._spooling:
            log.warning("the broker does not answer: spooling", extra={"code": fault.name()})
        self._answered = False
        self._to_disk(records, done)

    def _to_disk(self, records: Sequence[Record], done: Done) -> None:
        self._spooling = True
        write = self._writer.append([to_frame(r.key, r.value) for r in records])
        self._start_draining()
        write.add_done_callback(partial(self._on_written, len(records), done))

    def _on_written(self, count: int, done: Done, write: "asyncio.Future[None]") -> None:
        fault = write.exception()
        if fault is None:
            self._metrics.stored("spool", count)
            done(None)
        elif isinstance(fault, SpoolFull) or (isinstance(fault, OSError) and fault.errno in NO_ROOM):
            done(SpoolFull("the disk is full"))
        else:
            log.error("the spool's disk fails", extra={"errno": getattr(fault, "errno", None)})
            done(TransientError("neither broker nor disk takes pageviews"))

    def _start_draining(self) -> None:
        if self._draining is None or self._draining.done():
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        while True:
            try:
                await self._drain_to_the_end()
                break
            except OSError as error:  # a full disk has no room for the bookmark either, until it has again
                log.error("the spool cannot be drained", extra={"errno": error.errno})
                await asyncio.sleep(RETRY_S[1])
        self._draining = None
        log.info("the spool is drained")

    async def _drain_to_the_end(self) -> None:
        pause_s = RETRY_S[0]
        while True:
            frames, position = self._spool.read()
            if not frames:
                if self._answered or not self._writer.busy:
                    # From here new records go straight to the broker; those being written are drained behind them.
                    self._spooling = False
                if not self._writer.busy:
                    break
                await asyncio.sleep(WRITER_S)
                continue
            # A broker that is away is asked with one record, not with a thousand.
            asked = frames if self._answered else frames[:1]
            self._answered = await self._send_all(asked)
            if not self._answered:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, RETRY_S[1])
            elif len(asked) == len(frames):
                self._metrics.drained(len(frames))
                self._spool.drained(position)
                pause_s = RETRY_S[0]

    async def _send_all(self, frames: Sequence[Frame]) -> bool:
        """Send in order; whether each one is delivered, or kept aside because no broker ever takes it."""
        if await self._send(frames) is None:
            return True
        for frame in frames:
            fault = await self._send([frame])
            if fault is not None and fault.code() not in NEVER_ACCEPTED:
                return False
            if fault is not None:
                log.error("a record that the broker never accepts is kept aside", extra={"code": fault.name()})
                self._spool.set_aside(frame)
        return True

    async def _send(self, frames: Sequence[Frame]) -> KafkaError | None:
        answer: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()
        self._producer.send(frames, DRAIN_WAIT_S, partial(tell, answer))
        return await answer

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self.spooling:
                count = await loop.run_in_executor(None, self._producer.count_partitions, 5.0)
                for partition in range(count if not self.spooling else 0):
                    self._producer.send_to_partition(partition, heartbeat(self._now_ms()))
            await asyncio.sleep(HEARTBEAT_S)

    async def close(self) -> None:
        """Wait for what is on its way. What the spool still holds stays on the disk for the next process."""
        for task in (self._beating, self._draining):
            if task is not None:
                task.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._producer.flush, 5.0)
        self._producer.close()
        self._writer.close()
        self._spool.close()
