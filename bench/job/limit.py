"""The limit program: what this machine's Python can do at most with the job's task, with all its guarantees left out.

    python bench/job/limit.py --kafka-servers S --topic T --out DIR

A process per core, the partitions split between them: batches from librdkafka, JSON by orjson, a dict of lists, Avro by
fastavro with snappy. It keeps no checkpoint, commits no offset, and names no file so that a second run would find it:
after a kill everything begins again, and what was written is written twice. A floor to measure against, not a peer.

Each partition has a watermark of its own, its latest event time less 200 s. A window is written and forgotten when the
watermark has passed its end, and pageviews that come for it afterwards are dropped; so is poison, and what is still
open at the topic's end.
"""

import argparse
import gc
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fastavro
import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

WINDOW_MS = 30 * 60_000
DELAY_MS = 200_000
BATCH = 10_000
LISTS = ("sessionTimestamps", "Pages", "referrer", "LandingPageCode", "pageTitles", "eventIds")
REST = ("referrer", "landingPage", "pageTitle", "eventId")
"""Of a message, what follows its time and page in LISTS."""
CONSUMER = {
    "group.id": "bench-limit", "enable.auto.commit": False, "enable.partition.eof": True,
    "auto.offset.reset": "earliest", "queued.max.messages.kbytes": 65_536, "fetch.message.max.bytes": 4_194_304,
}  # fmt: skip
TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}
TEXTS = {"type": "array", "items": "string"}
"""Not null: a union for each text would take a quarter of the writing. What a message lacks is empty."""
SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "session",
        "fields": [
            {"name": "uiud", "type": "string"},
            {"name": "sessionId", "type": "string"},
            {"name": "window_start", "type": TIMESTAMP},
            {"name": "sessionTimestamps", "type": {"type": "array", "items": TIMESTAMP}},
            *({"name": name, "type": TEXTS} for name in LISTS[1:]),
            {"name": "Pageviews", "type": "long"},
        ],
    }
)


class Seconds(dict[str, int]):
    """`yyyy-MM-dd HH:mm:ss` in UTC to milliseconds; each second is parsed once."""

    def __missing__(self, text: str) -> int:
        at = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
        found = self[text] = int(at.timestamp()) * 1000
        return found


class Partition:
    """The open windows of one partition: window start to visitor and session to hits."""

    def __init__(self, number: int, out: Path) -> None:
        self.number, self.out = number, out
        self.seconds = Seconds()
        self.windows: defaultdict[int, defaultdict[tuple[str, str], list[tuple[Any, ...]]]]
        self.windows = defaultdict(lambda: defaultdict(list))
        self.latest_ms = self.closed_ms = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Put a pageview into its group. Raises KeyError, TypeError or ValueError where it is poison."""
        text, uiud, session, url = event["timestamp"], event["uiud"], event["sessionId"], event["pageUrl"]
        if event["eventType"] != "Pageview" or not (uiud and session and url):
            raise ValueError("no pageview")
        at_ms = self.seconds[text[:19]] + int(text[20:])
        start_ms = at_ms - at_ms % WINDOW_MS
        if start_ms < self.closed_ms:
            return
        rest = [event.get(name) or "" for name in REST]
        self.windows[start_ms][uiud, session].append((at_ms, url, *rest))
        if at_ms > self.latest_ms:
            self.latest_ms = at_ms

    def close(self) -> None:
        """Write the windows that the watermark has passed, a file each, and forget them."""
        mark_ms = self.latest_ms - DELAY_MS
        self.closed_ms = max(self.closed_ms, mark_ms - mark_ms % WINDOW_MS)
        for start_ms in sorted(start for start in self.windows if start < self.closed_ms):
            self._write(start_ms)

    def _write(self, start_ms: int) -> None:
        groups = self.windows.pop(start_ms)
        rows = (
            {
                "uiud": uiud, "sessionId": session, "window_start": start_ms, "Pageviews": len(hits),
                **dict(zip(LISTS, zip(*hits, strict=True), strict=True)),
            }
            for (uiud, session), hits in groups.items()
        )  # fmt: skip
        with (self.out / f"{start_ms}-{self.number}.avro").open("wb") as file:
            fastavro.writer(file, SCHEMA, rows, codec="snappy", sync_interval=1_000_000)


def read(servers: str, topic: str, numbers: Sequence[int], out: Path) -> None:
    """Read some of the topic's partitions to their ends."""
    # The groups hold no cycles: the collector would only walk millions of tuples again and again.
    gc.disable()
    consumer = Consumer({**CONSUMER, "bootstrap.servers": servers})
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    partitions = {number: Partition(number, out) for number in numbers}
    ended = 0
    while ended < len(partitions):
        ended += take(consumer.consume(BATCH, timeout=1.0), partitions)
        for partition in partitions.values():
            partition.close()
    consumer.close()


def take(messages: Sequence[Message], partitions: Mapping[int, Partition]) -> int:
    """Group a batch; how many partitions have come to their ends in it."""
    ended = 0
    for message in messages:
        try:
            # An end or a fault has words in place of JSON: they are asked for among what cannot be read, not each time.
            partitions[message.partition()].add(orjson.loads(message.value()))
        except (KeyError, TypeError, ValueError):
            ended += is_end(message)
    return ended


def is_end(message: Message) -> bool:
    """True at the end of a partition, False for poison. Raises KafkaException where the consumer reports a fault."""
    fault = message.error()
    if fault is not None and fault.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(fault)
    return fault is not None


def count_partitions(servers: str, topic: str) -> int:
    """Of the topic. Raises KafkaException where it is not there."""
    consumer = Consumer({**CONSUMER, "bootstrap.servers": servers})
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    consumer.close()
    if found.error is not None:
        raise KafkaException(found.error)
    return len(found.partitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    partitions = count_partitions(given.kafka_servers, given.topic)
    cores = min(os.cpu_count() or 1, partitions)
    context = multiprocessing.get_context("spawn")
    shares = [range(core, partitions, cores) for core in range(cores)]
    processes = [
        context.Process(target=read, args=(given.kafka_servers, given.topic, share, given.out)) for share in shares
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    raise SystemExit(int(any(process.exitcode for process in processes)))


if __name__ == "__main__":
    main()
