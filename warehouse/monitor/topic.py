"""The topic as the broker has it: read without a consumer group's memory, a few messages a look."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contract.failures import TransientError
from contract.names import HEARTBEAT
from warehouse.monitor.readings import Backlog, TopicReading

TIMEOUT_S = 10.0
POLL_S = 0.2
SCAN_S = 5.0
"""How long one look may read on; the next one goes on where it stopped."""
PREFETCH_KB = 1024
FETCH_MS = 20
"""A place elsewhere is read only when the fetch under way has ended. Between looks nothing is fetched."""


class Topic:
    """One topic. Every method raises TransientError where the broker does not answer."""

    def __init__(self, servers: str, topic: str, config: Mapping[str, str] | None = None) -> None:
        self.servers, self.topic = servers, topic
        settings = {
            **(config or {}), "bootstrap.servers": servers, "group.id": "webevents-monitor",
            "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0,
            "queued.max.messages.kbytes": PREFETCH_KB, "fetch.wait.max.ms": FETCH_MS, "auto.offset.reset": "earliest",
        }  # fmt: skip
        self._consumer = Consumer(settings)
        self._heartbeats: dict[int, tuple[int, int]] = {}

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def read(self) -> TopicReading:
        """Its offsets, and the time of its newest message."""
        spans = self.spans()
        last = {partition: end - 1 for partition, (start, end) in spans.items() if end > start}
        times = [found.timestamp()[1] / 1000 for found in self._firsts(last)]
        return TopicReading(spans, max(times, default=None))

    def spans(self) -> dict[int, tuple[int, int]]:
        """partition -> (first offset kept, next offset to be written)."""
        with self._asking():
            found = self._consumer.list_topics(self.topic, timeout=TIMEOUT_S).topics[self.topic]
            if found.error is not None:
                raise KafkaException(found.error)
            return {number: self._bounds(number) for number in sorted(found.partitions)}

    def _bounds(self, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=TIMEOUT_S)
        return low, high

    def backlog(self, spans: Mapping[int, tuple[int, int]], ends: Mapping[int, int]) -> Backlog:
        """What lies behind `ends`, partition -> first offset not read; a partition without an end is unread."""
        unread = {p: max(ends.get(p, start), start) for p, (start, end) in spans.items() if ends.get(p, start) < end}
        oldest = min((found.timestamp()[1] / 1000 for found in self._firsts(unread)), default=None)
        messages = sum(spans[partition][1] - first for partition, first in unread.items())
        return Backlog(messages, oldest, overtaken(spans, ends))

    def backlog_of_archive(self, spans: Mapping[int, tuple[int, int]], ends: Mapping[int, int]) -> Backlog:
        """The same, from the first message on that belongs into a table: heartbeats are in none.

        Heartbeats that were read once are not read again. Where SCAN_S does not reach, the next look goes on.
        """
        unread = {}
        deadline = time.monotonic() + SCAN_S
        for partition, (start, end) in spans.items():
            first = max(ends.get(partition, start), start)
            known = self._heartbeats.get(partition, (first, first))
            reached = known[1] if known[0] <= first <= known[1] else first
            for message in self._read_on(partition, reached, end, deadline):
                if not is_heartbeat(message.value()):
                    unread[partition] = message
                    break
                reached = (message.offset() or 0) + 1
            self._heartbeats[partition] = (first, reached)
        oldest = min((message.timestamp()[1] / 1000 for message in unread.values()), default=None)
        messages = sum(spans[partition][1] - (message.offset() or 0) for partition, message in unread.items())
        return Backlog(messages, oldest)

    def search(self, begin: dict[int, int], spans: Mapping[int, tuple[int, int]], key: bytes,
               found: Callable[[Message], None]) -> None:  # fmt: skip
        """Tell `found` of the messages with that key, and move `begin` to where the reading stopped."""
        deadline = time.monotonic() + SCAN_S
        for partition in begin:
            start, end = spans.get(partition, (0, 0))
            for message in self._read_on(partition, max(begin[partition], start), end, deadline):
                begin[partition] = (message.offset() or 0) + 1
                if message.key() == key:
                    found(message)

    def _read_on(self, partition: int, start: int, end: int, deadline: float) -> Iterator[Message]:
        if start >= end:
            return
        with self._asking():
            self._consumer.assign([TopicPartition(self.topic, partition, start)])
        reached = start
        try:
            while reached < end and time.monotonic() < deadline:
                message = self._consumer.poll(POLL_S)
                if message is None:
                    continue
                if message.error() is not None:
                    return  # the end, or the broker is away: what was read stands
                reached = (message.offset() or 0) + 1
                yield message
        finally:
            self._consumer.unassign()

    def _firsts(self, places: Mapping[int, int]) -> list[Message]:
        """The message at each place, or the next one that is there; partitions at their end are left out."""
        if not places:
            return []
        with self._asking():
            self._consumer.assign([TopicPartition(self.topic, *place) for place in places.items()])
        try:
            return self._poll_firsts(len(places))
        finally:
            self._consumer.unassign()

    def _poll_firsts(self, partitions: int) -> list[Message]:
        firsts: dict[int, Message] = {}
        ended: set[int] = set()
        deadline = time.monotonic() + TIMEOUT_S
        while len(firsts.keys() | ended) < partitions:
            message = self._consumer.poll(max(0.0, deadline - time.monotonic()))
            if message is None:
                raise TransientError(f"Kafka at {self.servers} gives no message within {TIMEOUT_S:.0f} s")
            partition = message.partition()
            if message.error() is None and partition is not None:
                firsts.setdefault(partition, message)
            elif message.error() is not None and partition is not None and partition >= 0:
                ended.add(partition)
        return list(firsts.values())

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise TransientError(f"Kafka at {self.servers} does not answer: {error.args[0].str()}") from error


def overtaken(spans: Mapping[int, tuple[int, int]], ends: Mapping[int, int]) -> int:
    """Messages between what was read and what the broker still has."""
    return sum(max(0, start - ends[partition]) for partition, (start, _) in spans.items() if partition in ends)


def is_heartbeat(value: bytes | None) -> bool:
    """Whether a message belongs into no table."""
    try:
        return bool(json.loads(value or b"")["eventType"] == HEARTBEAT)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
