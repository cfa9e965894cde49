"""Kafka's producer, polled from the event loop: no second thread takes turns with the requests."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message

from contract.failures import ConfigError

log = logging.getLogger(__name__)

POLL_S = 0.002
IDLE_POLL_S = 0.5
TRY_MS = 10_000
"""How long librdkafka tries one message. After it the delivery report says so, and the message is ours again."""

CONFIG: Mapping[str, str | int | bool] = {
    "acks": "all",
    "enable.idempotence": True,
    "message.timeout.ms": TRY_MS,
    "socket.timeout.ms": TRY_MS,
    "reconnect.backoff.max.ms": 1_000,
    "linger.ms": 2,  # at 10 the same connections send half as many events, for some 5 us of CPU less an event
    "compression.type": "lz4",
    "queue.buffering.max.kbytes": 65_536,
    "queue.buffering.max.messages": 100_000,
    "client.id": "webevents-collector",
    "log_level": 3,
}

Answer = KafkaError | None
"""None once all replicas in sync have the records; else what the first one that failed met."""


class Keyed(Protocol):
    """What is sent of a record."""

    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...


class Delivery:
    """Some records on their way, and who is told of it, once."""

    __slots__ = ("done", "due", "fault", "left", "settled")

    def __init__(self, done: Callable[[Answer], None], left: int, due: float, settled: "deque[Delivery]") -> None:
        self.done: Callable[[Answer], None] | None = done
        self.left, self.due, self.settled = left, due, settled
        self.fault: Answer = None

    def report(self, error: KafkaError | None, _: Message) -> None:
        """A delivery report, as librdkafka calls it: it must not raise, so others are told after it."""
        self.left -= 1
        self.fault = self.fault or error
        if not self.left:
            self.settled.append(self)

    def settle(self, answer: Answer) -> None:
        """Tell; what librdkafka reports later is of no interest."""
        done, self.done = self.done, None
        if done is not None:
            done(answer)


class Producer:
    """Sends records to one topic. `config` is librdkafka's, bootstrap.servers at least."""

    def __init__(self, config: Mapping[str, str | int | bool], topic: str) -> None:
        self._config = {**CONFIG, **config, "error_cb": self._note}
        self._topic = topic
        self._waiting: dict[float, deque[Delivery]] = {}  # by how long they wait, so that each is in order
        self._settled: deque[Delivery] = deque()
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None
        self._idle = True
        self._kafka = self._connect()

    @property
    def in_flight(self) -> int:
        """Records and requests that librdkafka has not answered."""
        return len(self._kafka)

    @property
    def oldest_unacked_s(self) -> float:
        """How long the broker has owed its oldest answer, in seconds; 0 where it owes none."""
        firsts = (
            (wait_s, next((delivery for delivery in waiting if delivery.done is not None), None))
            for wait_s, waiting in self._waiting.items()
        )
        now = self._loop.time()
        return max((now - (first.due - wait_s) for wait_s, first in firsts if first is not None), default=0.0)

    def open(self) -> None:
        """Begin to poll, from the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.poll()

    def send(self, records: Sequence[Keyed], wait_s: float, done: Callable[[Answer], None]) -> None:
        """Send records; `done` is told what the delivery reports say, or of a time-out after `wait_s`.

        After a time-out they may still arrive: who sends them again sends the same eventIds.
        """
        delivery = Delivery(done, len(records), self._loop.time() + wait_s, self._settled)
        try:
            for record in records:
                self._kafka.produce(self._topic, record.value, record.key, on_delivery=delivery.report)
        except BufferError:
            delivery.settle(KafkaError(KafkaError._QUEUE_FULL))
        except KafkaException as error:
            delivery.settle(error.args[0])
        else:
            self._waiting.setdefault(wait_s, deque()).append(delivery)
            if self._idle:
                self._poll_in(POLL_S)

    def send_to_partition(self, partition: int, value: bytes) -> None:
        """Send a record without a key, and without an answer."""
        try:
            self._kafka.produce(self._topic, value, partition=partition)
        except (BufferError, KafkaException):
            log.info("no heartbeat: the producer's queue is full", extra={"partition": partition})

    def count_partitions(self, timeout_s: float) -> int:
        """The topic's number of partitions; 0 when no broker answers. Blocks: call it in a thread."""
        try:
            topic = self._kafka.list_topics(self._topic, timeout=timeout_s).topics[self._topic]
        except KafkaException:
            return 0
        return len(topic.partitions) if topic.error is None else 0

    def flush(self, timeout_s: float) -> int:
        """Wait for what is on its way; the number of records that are still unanswered. Blocks."""
        return int(self._kafka.flush(timeout_s))

    def poll(self) -> None:
        """Serve delivery reports and time-outs, and come again: soon while somebody waits."""
        try:
            self._kafka.poll(0)
            while self._settled:
                delivery = self._settled.popleft()
                delivery.settle(delivery.fault)
            self._expire(self._loop.time())
        finally:
            self._poll_in(POLL_S if self._settled or any(self._waiting.values()) else IDLE_POLL_S)

    def _expire(self, now: float) -> None:
        for waiting in self._waiting.values():
            while waiting and (waiting[0].done is None or waiting[0].due <= now):
                waiting.popleft().settle(KafkaError(KafkaError._TIMED_OUT))

    def close(self) -> None:
        """Stop polling."""
        if self._timer is not None:
            self._timer.cancel()

    def _poll_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._idle = seconds == IDLE_POLL_S
        self._timer = self._loop.call_later(seconds, self.poll)

    def _connect(self) -> confluent_kafka.Producer:
        try:
            return confluent_kafka.Producer(self._config)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"Kafka's settings: {error.args[0]}") from error

    def _note(self, error: KafkaError) -> None:
        log.warning("Kafka", extra={"code": error.name(), "fatal": error.fatal()})
        if error.fatal():
            # An idempotent producer that lost its place never sends again: those who wait time out, and spool.
            self._kafka = self._connect()
