"""What plain.read takes it reads as Spark's steps do, and it takes what the collector writes."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from contract.schemas import field_names
from streaming import plain
from streaming.schema import SESSION_FIELDS
from streaming.transform import decode, judge, to_hits
from tests.streaming.topic import KAFKA_TIME, at, beat, messages, pageview

KAFKA_US = round(KAFKA_TIME.timestamp() * 1e6)
MESSAGES = pa.schema(
    [("value", pa.binary()), ("partition", pa.int32()), ("offset", pa.int64()), ("timestamp", plain.TIME)]
)
FINE = pageview(at("10:00"), eventId="e1")
Hit = tuple[Any, ...]


def spelled(**fields: Any) -> bytes:
    """A pageview that is plain, but for `fields`; `...` leaves one out."""
    return pageview(at("10:00"), **{"eventId": "e", "robot": False, **fields})


def inside(text: bytes) -> bytes:
    """A plain pageview with `text` before its end."""
    return spelled()[:-1] + text + b"}"


PLAIN = {
    "as the collector writes it": spelled(sentAt=5, receivedAt=6, seq=1, robot=True, clockSkewed=True, extra='{"a":1}'),
    "nulls": spelled(referrer=None, landingPage=None, pageTitle=None, robot=None, extra=None),
    "only what is needed": spelled(robot=...),
    "another event": spelled(eventType="click"),
    "a stranger": inside(b',"other":[{"a":[1e5,-0]},null,"\\/"]'),
    "strange values of what is not used": spelled(seq="1", sentAt=1.5, clockSkewed={}, extra=[1]),
    "a field twice": inside(b',"uiud":"other"'),
    "a null field twice": inside(b',"pageTitle":"t","pageTitle":null'),
    "long": spelled(pageTitle="x" * 9_000, sentAt=5, seq=-(2**63), clockSkewed=None, extra="{}"),
    "escapes": inside(b',"pageTitle":"\\u0000\\ud83d\\ude00\\/\\"\\n"'),
    "an escaped name": inside(b',"page\\u0054itle":"t"'),
    "UTF-8": spelled(pageTitle="größe \U0001f600 \ufffd"),
    "spaces and lines": b'{ "a"\n:1}'.replace(b'"a"\n:1', spelled()[1:-1].replace(b'", "', b'" ,\n"')),
    "as late as can be": spelled(timestamp="2015-05-18 00:01:00.000"),
    "the first time": spelled(timestamp="1970-01-01 00:00:00.000"),
    "29 February": spelled(timestamp="2012-02-29 23:59:59.999"),
}
NOT_PLAIN: dict[str, bytes | None] = {
    "null": None, "nothing": b"", "a brace": b"{", "an empty object": b"{}", "a list": b"[1,2]", "no text": b"\xff\xfe",
    "a heartbeat": beat(at("10:00")), "a heartbeat of a visitor": spelled(eventType="Heartbeat"),
    "two objects": FINE + FINE, "two objects on lines": FINE + b"\n" + FINE, "text behind": FINE + b" x",
    "NUL between objects": FINE + b"\0" + FINE, "NUL inside": inside(b"\0"), "a BOM": b"\xef\xbb\xbf" + FINE,
    "no end": b'{"a":"x}', "an end only": b'{"}', "a visitor and none": inside(b',"uiud":null'),
    "bad bytes": inside(b',"pageTitle":"\xff"'), "bad bytes in a stranger": inside(b',"other":"\xff"'),
    "a bad name": inside(b',"\xff":1'), "a surrogate in UTF-8": inside(b',"pageTitle":"\xed\xa0\x80"'),
    "half a surrogate": inside(b',"pageTitle":"\\ud800"'), "the other half": inside(b',"pageTitle":"\\udc00"'),
    "a control character": inside(b',"pageTitle":"\x01"'), "an unknown escape": inside(b',"pageTitle":"\\x"'),
    "NaN": inside(b',"other":NaN'), "Inf": inside(b',"other":Inf'), "-NaN": inside(b',"seq":-NaN'),
    "a long stranger": spelled(other="x" * 1000), "a long text for a number": spelled(seq="1" * 1000),
    "depth": inside(b',"other":' + b"[" * 2000 + b"]" * 2000),
    "a long number": inside(b',"seq":' + b"1" * 1001),
    "a long fraction": inside(b',"seq":1.' + b"1" * 1000), "a long number of no field": inside(b',"x":' + b"1" * 2000),
    "single quotes": FINE.replace(b'"', b"'"), "a comment": inside(b"/**/"), "a comma too many": inside(b","),
    "a number for a text": spelled(uiud=7), "01": inside(b',"seq":01'), "1.": inside(b',"seq":1.'),
    "a text for a boolean": spelled(robot="true"), "an object for a text": spelled(pageTitle={"a": 1}),
    "no eventId": spelled(eventId=...), "an empty eventId": spelled(eventId=""), "no eventType": spelled(eventType=...),
    "no visitor": spelled(uiud=...), "an empty session": spelled(sessionId=""), "no page": spelled(pageUrl=None),
    "no time": spelled(timestamp=...), "seconds only": spelled(timestamp="2015-05-17 10:00:00"),
    "ms since 1970": spelled(timestamp="1431856800000"), "a T": spelled(timestamp="2015-05-17T10:00:00.000"),
    "a Z": spelled(timestamp="2015-05-17 10:00:00.0Z"), "a sign": spelled(timestamp="+015-05-17 10:00:00.000"),
    "30 February": spelled(timestamp="2015-02-30 10:00:00.000"), "24 h": spelled(timestamp="2015-05-17 24:00:00.000"),
    "60 s": spelled(timestamp="2015-05-17 10:00:60.000"),
    "a strange digit": spelled(timestamp="2015-05-17 10:00:0\u0663.0"),
    "before 1970": spelled(timestamp="1969-12-31 23:59:59.999"), "year 0": spelled(timestamp="0000-01-01 00:00:00.000"),
    "too far ahead": spelled(timestamp="2015-05-18 00:01:00.001"), "a long title": spelled(pageTitle="x" * 16_384),
}  # fmt: skip


def kafka(values: Sequence[bytes | None]) -> pa.RecordBatch:
    """The values as Spark hands them over, at offsets from 0, in partitions of 0 to 6."""
    columns = [values, [place % 7 for place in range(len(values))], range(len(values)), [KAFKA_US] * len(values)]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, MESSAGES, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=MESSAGES)


def read(values: Sequence[bytes | None] | pa.RecordBatch) -> tuple[dict[int, Hit], list[int]]:
    """Offset -> hit, and the offsets of what is left; each message is in one of the two."""
    batch = values if isinstance(values, pa.RecordBatch) else kafka(values)
    hits, rest = plain.read_hits(batch)
    assert hits.schema == plain.HITS
    assert hits.column("kafkaOffset") == batch.column("offset")
    assert hits.column("kafkaPartition").to_pylist() == batch.column("partition").to_pylist()
    table = pa.Table.from_batches([hits])
    rows = table.set_column(4, "eventAt", table["eventAt"].cast(pa.int64())).to_pylist()
    found = {row["kafkaOffset"]: tuple(row.values())[2:] for row in rows if row["eventAt"] is not None}
    left = rest.column("offset").to_pylist()
    assert sorted([*found, *left]) == batch.column("offset").to_pylist()
    return found, left


def judged(spark: SparkSession, values: Sequence[bytes | None]) -> dict[int, Hit]:
    """The same by Spark's steps: offset -> hit."""
    frame = messages(spark, values).withColumn("packed", F.lit(None))
    hits = to_hits(judge(decode(frame, fields=SESSION_FIELDS, keep=("packed",)))).where("eventAt IS NOT NULL")
    rows = hits.withColumn("eventAt", F.unix_micros("eventAt")).drop("packed").collect()
    return {row.kafkaOffset: tuple(row)[2:] for row in rows}


def test_what_the_collector_writes_is_plain() -> None:
    found, rest = read(list(PLAIN.values()))
    assert [name for place, name in enumerate(PLAIN) if place not in found] == []
    assert rest == []


@pytest.mark.parametrize("value", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_is_left(value: bytes | None) -> None:
    assert 1 not in read([FINE, value, FINE])[0]


def test_what_is_not_plain_takes_no_other_with_it() -> None:
    strange = [*NOT_PLAIN.values()]
    mixed = [value for pair in zip(strange, [FINE] * len(strange), strict=True) for value in pair]
    assert list(read(mixed)[0]) == list(range(1, len(mixed), 2))


def test_times_spelled_in_another_way_take_no_others_with_them() -> None:
    values = [spelled(timestamp="2015-05-17T10:00:00.000") if place % 8 == 0 else FINE for place in range(1000)]
    assert read(values)[1] == list(range(0, 1000, 8))


def test_each_message_is_judged_by_its_own_kafka_time() -> None:
    batch = kafka([None, *[spelled(timestamp="2015-05-18 00:01:00.000")] * 400])
    late = pa.array([KAFKA_US - (place % 3 == 0) * 1_000 for place in range(401)]).cast(plain.TIME)
    found, _ = read(pa.RecordBatch.from_arrays([*batch.columns[:3], late], schema=MESSAGES))
    assert list(found) == [place for place in range(1, 401) if place % 3]


def test_values_that_make_up_for_one_another_do_not_shift_the_hits() -> None:
    """Two objects in one value and none in another are as many as the values."""
    marked = [spelled(eventId=f"e{number}") for number in range(200)]
    for other in (b"{}\0{}", FINE + b"\0" + FINE, b'{"a":"}', b"{" + b" " * 9 + b"}"):
        values: list[bytes | None] = [*marked]
        values[3], values[150] = FINE + FINE, other
        found, _ = read(values)
        assert all(hit[3] == f"e{offset}" for offset, hit in found.items())
        assert len(found) > 100


def test_a_text_that_one_value_begins_and_the_next_one_ends_makes_no_hit() -> None:
    """Run together they would be one pageview, and as many objects as values with the two of the third."""
    assert read([FINE[:-1] + b',"referrer":"x}', b'{"}', FINE + FINE])[0] == {}


def test_parts_of_batches_and_a_null_with_bytes_below_it_are_read() -> None:
    assert read(kafka([b"{", *PLAIN.values(), b"}"]).slice(1, len(PLAIN)))[1] == []
    values = pa.array([FINE, FINE, FINE], pa.binary())
    hidden = pa.Array.from_buffers(pa.binary(), 3, [pa.py_buffer(b"\x05"), *values.buffers()[1:]])
    batch = kafka([FINE] * 3)
    assert read(pa.RecordBatch.from_arrays([hidden, *batch.columns[1:]], schema=MESSAGES))[1] == [1]
    assert read([]) == ({}, [])


def test_hits_do_not_keep_the_messages_that_they_are_of() -> None:
    """As read from Spark, where one buffer holds all columns of a batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, MESSAGES) as stream:
        for _ in range(40):
            stream.write_batch(kafka([spelled(extra="x" * 15_000)] * 100))
    content = sink.getvalue()
    held, before = [], pa.total_allocated_bytes()
    with pa.ipc.open_stream(pa.BufferReader(content.to_pybytes())) as stream:
        for batch in stream:
            # serialize() makes a buffer of its own, as the socket from Spark does.
            held.append(plain.read_hits(pa.ipc.read_record_batch(batch.serialize(), MESSAGES))[0])
    assert sum(batch.num_rows for batch in held) == 4_000
    assert pa.total_allocated_bytes() - before < 4_000_000, "60 MB of messages"


def test_hits_are_those_of_sparks_steps(spark: SparkSession) -> None:
    values = [*PLAIN.values(), *NOT_PLAIN.values()]
    wanted = judged(spark, values)
    assert {place: hit for place, hit in wanted.items() if place < len(PLAIN)} == read(list(PLAIN.values()))[0]


def test_whatever_the_fields_and_bytes_hits_are_those_of_sparks_steps(spark: SparkSession) -> None:
    chance = random.Random(11)
    values: list[bytes | None] = [some_message(chance, at_fault=chance.random() < 0.5) for _ in range(12_000)]
    wanted = judged(spark, values)
    found, _ = read(values)
    assert {place: wanted.get(place) for place in found} == found
    assert 7_000 < len(found) < len(wanted) - 200


TEXTS = ["a", "", None, "größe", "\x00", "\U0001f600", "x" * 1500, 7, 1.5, True, {"a": 1}, [1], "\ufffd", "Pageview"]
TIMES = [
    "2015-05-17 10:00:00.000", "2015-05-17 10:00:59.999", "2015-05-17 10:00:00", "1431856800000", "2015-05-17", "",
    None, "2015-02-29 10:00:00.000", "1969-12-31 23:59:59.999", "2015-05-17T10:00:00.000", "2015-05-17 10:00:00.00Z",
]  # fmt: skip


def some_message(chance: random.Random, *, at_fault: bool) -> bytes:
    """A plain message, or one with a field or byte or two by chance."""
    fields: dict[str, Any] = {
        "uiud": "u", "sessionId": "s", "pageUrl": "/", "eventType": "Pageview", "eventId": f"e{chance.random()}",
        "timestamp": "2015-05-17 10:00:00.000", "referrer": "direct", "robot": chance.random() < 0.5, "seq": 1,
    }  # fmt: skip
    in_fields = at_fault and chance.random() < 0.6
    for _ in range(chance.randrange(1, 3) if in_fields else 0):
        name = chance.choice([*field_names("pageview"), "other"])
        fields[name] = chance.choice(TIMES if name == "timestamp" else TEXTS)
    text = bytearray(json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(chance.randrange(1, 3) if at_fault and not in_fields else 0):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)
