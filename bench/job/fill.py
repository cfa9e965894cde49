"""The broker of the benchmark, filled with its topics, and what their rows must be."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from rich.progress import Progress

from bench.job.topic import PARTITIONS, Expected, Message, messages
from local import broker

PRODUCER = {
    "enable.idempotence": True, "linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4",
    "queue.buffering.max.messages": 400_000,
}  # fmt: skip


@contextmanager
def serving(state: Path, topic: str = "bench") -> Iterator[str]:
    """The address of a broker that keeps its topics in `state`; it ends with the block."""
    state.mkdir(parents=True, exist_ok=True)
    process, servers = broker.start(state / "broker", topics=[topic], partitions=PARTITIONS)
    try:
        yield servers
    finally:
        process.stop()


def topic_of(pageviews: int, seed: int) -> str:
    """The topic's name says what is on it."""
    return f"bench-{pageviews}-{seed}"


def fill(state: Path, servers: str, pageviews: int, seed: int) -> dict[str, Any]:
    """Make the topic where it is not there yet; returns topic, messages, bytes, rows, pageviews and digest."""
    topic = topic_of(pageviews, seed)
    told = state / f"{topic}.json"
    if not told.exists():
        broker.create_topics(servers, [topic], partitions=PARTITIONS)
        expected = Expected()
        sent = _send(servers, topic, messages(seed, pageviews, expected), pageviews)
        told.write_text(json.dumps({"topic": topic, **sent, **expected.close()}))
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def produce(producer: Producer, *message: Any, **more: Any) -> None:
    """Producer.produce, which waits where its queue is full."""
    while True:
        try:
            producer.produce(*message, **more)
            return
        except BufferError:
            producer.poll(1)


def _send(servers: str, topic: str, rows: Iterator[Message], pageviews: int) -> dict[str, int]:
    producer = Producer({"bootstrap.servers": servers, **PRODUCER})
    faults: list[Any] = []
    count = size = 0
    with Progress() as progress:
        task = progress.add_task(f"topic {topic}", total=pageviews)
        for message in rows:
            produce(
                producer, topic, message.value, message.key, message.partition, timestamp=message.at_ms,
                on_delivery=lambda fault, _: faults.append(fault) if fault else None,
            )  # fmt: skip
            count, size = count + 1, size + len(message.value)
            if count % 10_000 == 0:
                producer.poll(0)
                progress.update(task, completed=count)
        producer.flush(120)
    if faults:
        raise RuntimeError(f"the broker did not take {len(faults)} messages: {faults[0]}")
    return {"messages": count, "bytes": size}
