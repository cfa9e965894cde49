"""Messages to a Kafka topic in step: partition after partition, every delivery report checked."""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contract.failures import ConfigError, TransientError
from contract.message import heartbeat
from contract.settings import nearest

CONNECT_S = 10.0
TOPIC_S = 2.0
"""How long a topic may be missing: one that was just created takes its time to be known."""
DELIVERY_S = 60
"""How long librdkafka tries one message again before its delivery report says that it failed."""


class Sender:
    """Sends to one topic and counts the acknowledgements of all in-sync replicas.

    Messages go to the partitions in turn, not by key. A batch of the stream takes the same share of every
    partition, so in turn means that all partitions stand at the same event time; by key they drift apart by
    hours, and what lies behind is late. Sessions are grouped by the stream and need no partition of their own.
    """

    def __init__(self, servers: str, topic: str, options: Mapping[str, str] | None = None) -> None:
        """Raises TransientError when no broker answers within CONNECT_S, ConfigError when the topic is missing."""
        self.topic = topic
        self.sent = self.acknowledged = 0
        self._fault: KafkaError | None = None
        self._producer = _build_producer(servers, options or {})
        self.partitions = _partitions(self._producer, servers, topic)

    def send(self, key: bytes | None, value: bytes | None, *, partition: int | None = None) -> None:
        """Queue one message for `partition`, or for the next one in turn. Kafka's timestamp is now: with the event
        time in its place the topic's retention would delete old events at once.

        Raises TransientError as soon as one delivery is known to have failed.
        """
        if partition is None:
            partition = self.partitions[self.sent % len(self.partitions)]
        while True:
            try:
                self._producer.produce(self.topic, value, key, partition, on_delivery=self._on_delivery)
                break
            except BufferError:
                self._producer.poll(0.5)
            except KafkaException as error:
                raise self._failure(error.args[0]) from None
        self.sent += 1
        self._producer.poll(0)
        if self._fault is not None:
            raise self._failure(self._fault)

    def send_heartbeats(self, epoch_ms: int) -> None:
        """Move the watermark: one heartbeat in every partition."""
        for partition in self.partitions:
            self.send(None, heartbeat(epoch_ms), partition=partition)

    def finish(self) -> None:
        """Wait for all delivery reports. Raises TransientError unless every message is acknowledged."""
        self._producer.flush(DELIVERY_S + CONNECT_S)
        if self.acknowledged != self.sent:
            raise self._failure(self._fault)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._fault = error

    def _failure(self, error: KafkaError | None) -> TransientError:
        why = f" ({error.str()})" if error is not None else ""
        return TransientError(
            f"Kafka acknowledged {self.acknowledged:,} messages and not the rest{why}; run the same command again: "
            "a message that comes twice has the same eventId"
        )


def _build_producer(servers: str, options: Mapping[str, str]) -> Producer:
    try:
        return Producer({
            "bootstrap.servers": servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 50,
            "delivery.timeout.ms": DELIVERY_S * 1000,
            "queue.buffering.max.messages": 100_000,
            # A broker that does not answer is told in one sentence by the caller.
            "log_level": 0,
            "error_cb": lambda error: None,
            **options,
        })  # fmt: skip
    except KafkaException as error:
        raise ConfigError(f"Kafka client: {error.args[0].str()}") from None


def _partitions(producer: Producer, servers: str, topic: str) -> list[int]:
    """The topic's partitions, ascending."""
    deadline_s = time.monotonic() + TOPIC_S
    while True:
        try:
            # All topics are asked for: a question about one may create it.
            topics = producer.list_topics(timeout=CONNECT_S).topics
        except KafkaException as error:
            raise TransientError(
                f"no Kafka broker answers at {servers} within {CONNECT_S:.0f} s ({error.args[0].str()})"
            ) from None
        if topic in topics and topics[topic].partitions:
            return sorted(topics[topic].partitions)
        if time.monotonic() > deadline_s:
            break
        producer.poll(0.1)
    known = [name for name in topics if not name.startswith("__")]
    near = nearest(topic, known) if known else "the broker has no topic yet"
    raise ConfigError(f"no topic {topic} at {servers}; {near}")
