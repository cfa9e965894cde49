"""Events are those of Spark's steps, whichever way a message is read, and none is lost between the two."""

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import events, plain, reading
from streaming.transform import decode, judge, to_archive, to_bad_events, to_events
from tests.streaming.test_plain import NOT_PLAIN, PLAIN, kafka, some_message, spelled
from tests.streaming.topic import at, messages, pageview

NUMBERS = ["1.0", "1e3", "1E2", "-0", "0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", '"5"',
           '" 5 "', "true", "null", "[]", '""']  # fmt: skip
TYPED = [spelled(sentAt=..., robot=...)[:-1] + f',"sentAt":{value},"robot":{value}}}'.encode() for value in NUMBERS]


def by_spark(spark: SparkSession, values: Sequence[bytes | None]) -> DataFrame:
    """As to_archive, where no message is plain."""
    frame = messages(spark, values).withColumn("packed", F.lit(None).cast("struct<events binary, count bigint>"))
    return judge(decode(frame, keep=("packed",)))


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict() for row in frame.orderBy("kafkaOffset").collect()]


def compare(spark: SparkSession, values: Sequence[bytes | None]) -> DataFrame:
    archive = to_archive(messages(spark, values), topic="webevent")
    wanted = by_spark(spark, values)
    assert rows(to_events(archive)) == rows(to_events(wanted))
    assert rows(to_bad_events(archive)) == rows(to_bad_events(wanted))
    return archive


def count_plain(archive: DataFrame) -> int:
    return int(archive.agg(F.sum("packed.count")).first()[0] or 0)  # type: ignore[index]


@pytest.mark.spark
def test_events_and_refused_messages_are_those_of_sparks_steps(spark: SparkSession) -> None:
    archive = compare(spark, [*PLAIN.values(), *NOT_PLAIN.values(), *TYPED])
    # Of PLAIN, one has values that only an event has use for; of TYPED, null alone is of both types.
    assert count_plain(archive) == len(PLAIN) - 1 + 1


@pytest.mark.spark
def test_whatever_the_fields_and_bytes_events_are_those_of_sparks_steps(spark: SparkSession) -> None:
    chance = random.Random(12)
    archive = compare(spark, [some_message(chance, at_fault=chance.random() < 0.5) for _ in range(6_000)])
    assert 3_000 < count_plain(archive) < 6_000 - 200


def test_what_is_absent_or_null_is_null_and_what_is_empty_is_empty() -> None:
    found, rest = plain.read_events(kafka([spelled(robot=...), spelled(referrer=None, seq=None), spelled(referrer="")]))
    assert found.column("referrer").to_pylist() == [None, None, ""]
    assert (found.column("robot").to_pylist(), found.column("seq").to_pylist()) == ([None, False, False], [None] * 3)
    assert rest.num_rows == 0


@pytest.mark.parametrize("limit", [1, 2_000, 1 << 20])
def test_each_event_comes_out_of_a_chunk_once_however_chunks_are_cut(limit: int, monkeypatch) -> None:
    monkeypatch.setattr(events, "CHUNK_BYTES", limit)
    monkeypatch.setattr(reading, "PACKED_ROWS", 150)
    values = [pageview(at("10:00"), eventId=f"e{number}") if number % 10 else b"{" for number in range(500)]
    batches = [kafka(values).slice(start, 100) for start in range(0, 500, 100)]
    made = pa.Table.from_batches(reading.read_and_pack_events()(batches))
    assert made.schema == reading.ARCHIVED
    chunks = made.filter(made["packed"].is_valid())
    assert sum(chunk["count"] for chunk in chunks["packed"].to_pylist()) == 450
    assert made["offset"].drop_null().to_pylist() == list(range(0, 500, 10))
    others = [pa.nulls(len(chunks), field.type) for field in plain.EVENTS]
    topics = pa.array(["t"] * len(chunks))
    for_unpack = pa.table([chunks["packed"], *others, topics], names=["packed", *events.ROW.names])
    out = pa.Table.from_batches(events.unpack(for_unpack.to_batches()))
    assert out.schema == events.ROW
    assert out["eventId"].to_pylist() == [f"e{number}" for number in range(500) if number % 10]
    assert set(out["kafkaTopic"].to_pylist()) == {"t"}


def test_of_no_plain_message_no_chunk_is_made() -> None:
    (chunks, others) = reading.read_and_pack_events()([kafka([b"{", None])])
    assert (chunks.num_rows, others.num_rows) == (0, 2)
