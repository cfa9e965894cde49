"""What the archive holds of each Kafka topic, message by message."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.cloud import bigquery

from contract.failures import TransientError
from contract.names import HEARTBEAT
from warehouse.accounts import Coverage

TIMEOUT_S = 10.0

ARCHIVED = """
WITH places AS (
  SELECT kafkaPartition, kafkaOffset FROM `{dataset}.events` WHERE kafkaTopic = @topic
  UNION DISTINCT
  SELECT kafkaPartition, kafkaOffset FROM `{dataset}.bad_events` WHERE kafkaTopic = @topic
),
ordered AS (
  SELECT
    kafkaPartition,
    kafkaOffset,
    LAG(kafkaOffset) OVER (PARTITION BY kafkaPartition ORDER BY kafkaOffset) AS previousOffset
  FROM places
)
SELECT
  kafkaPartition,
  SUM(IF(previousOffset = kafkaOffset - 1, 0, 1)) OVER (
    PARTITION BY kafkaPartition ORDER BY kafkaOffset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS run,
  kafkaOffset
FROM ordered
"""

RUNS = f"""
SELECT kafkaPartition, MIN(kafkaOffset) AS firstOffset, MAX(kafkaOffset) AS lastOffset
FROM ({ARCHIVED})
GROUP BY kafkaPartition, run
ORDER BY kafkaPartition, firstOffset
"""


@dataclass(frozen=True)
class Span:
    """Offsets of one partition, from `start` up to and without `end`."""

    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.start)


def coverage(client: bigquery.Client, dataset: str, servers: str, topic: str) -> Coverage:
    """Compare the archive with the messages that Kafka still has of `topic`.

    Places that the archive lacks are read from Kafka: a heartbeat belongs there, anything else is absent, or,
    behind the archive's last place, unread. Raises TransientError where the broker cannot be reached.
    """
    runs = archived_runs(client, dataset, topic)
    heartbeats, unread, messages, archived = 0, 0, 0, 0
    absent: list[str] = []
    with _Reader(servers, topic) as reader:
        for whole in reader.partitions():
            held = _clip([run for run in runs if run.partition == whole.partition], whole)
            messages += len(whole)
            archived += sum(len(run) for run in held)
            end = held[-1].end if held else whole.start
            for gap in _gaps(whole, held):
                for offset, value in reader.read(gap):
                    if _is_heartbeat(value):
                        heartbeats += 1
                    elif offset >= end:
                        unread += 1
                    else:
                        absent.append(f"{topic}/{gap.partition}/{offset}")
    return Coverage(topic, messages, archived, heartbeats, unread, tuple(absent))


def archived_runs(client: bigquery.Client, dataset: str, topic: str) -> list[Span]:
    """The unbroken runs of offsets that the events and bad_events tables hold, by partition and offset."""
    config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("topic", "STRING", topic)])
    rows = client.query_and_wait(RUNS.replace("{dataset}", dataset), job_config=config)
    return [Span(row.kafkaPartition, row.firstOffset, row.lastOffset + 1) for row in rows]


def _clip(runs: list[Span], whole: Span) -> list[Span]:
    clipped = (Span(run.partition, max(run.start, whole.start), min(run.end, whole.end)) for run in runs)
    return [run for run in clipped if len(run)]


def _gaps(whole: Span, held: list[Span]) -> Iterator[Span]:
    start = whole.start
    for run in [*held, Span(whole.partition, whole.end, whole.end)]:
        if run.start > start:
            yield Span(whole.partition, start, run.start)
        start = run.end


def _is_heartbeat(value: bytes | None) -> bool:
    try:
        return bool(json.loads(value or b"")["eventType"] == HEARTBEAT)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


class _Reader:
    """Reads a topic's places without a consumer group's memory."""

    def __init__(self, servers: str, topic: str) -> None:
        self.servers, self.topic = servers, topic
        config = {"bootstrap.servers": servers, "group.id": "webevents-reconcile", "enable.auto.commit": False}
        self.consumer = Consumer({**config, "enable.partition.eof": False, "log_level": 0})

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def partitions(self) -> list[Span]:
        """The offsets that Kafka has of each partition."""
        try:
            metadata = self.consumer.list_topics(self.topic, timeout=TIMEOUT_S).topics[self.topic]
            numbers = sorted(metadata.partitions)
            return [Span(number, *self._bounds(number)) for number in numbers]
        except KafkaException as error:
            raise TransientError(f"Kafka at {self.servers} does not answer: {error.args[0].str()}") from error

    def _bounds(self, partition: int) -> tuple[int, int]:
        low, high = self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=TIMEOUT_S)
        return low, high

    def read(self, span: Span) -> Iterator[tuple[int, bytes | None]]:
        """The messages in `span`, as (offset, value)."""
        self.consumer.assign([TopicPartition(self.topic, span.partition, span.start)])
        reached = span.start
        while reached < span.end:
            message = self.consumer.poll(TIMEOUT_S)
            offset = message.offset() if message is not None and message.error() is None else None
            if message is None or offset is None:
                why = f"no message within {TIMEOUT_S:.0f} s" if message is None else str(message.error())
                raise TransientError(f"reading {self.topic}/{span.partition}/{reached} from Kafka: {why}")
            reached = offset + 1
            if offset < span.end:
                yield offset, message.value()
