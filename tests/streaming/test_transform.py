"""The pure steps, as tables of messages and what becomes of them."""

import json
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from contract.message import derive_event_id, to_event_time
from contract.reasons import Reason
from contract.schemas import schema
from streaming import transform
from streaming.packing import Batches
from streaming.schema import MESSAGE_FIELDS, SESSION_FIELDS
from tests.streaming.topic import KAFKA_TIME, WINDOW_S, at, beat, messages, pageview, sessions

pytestmark = pytest.mark.spark

SPELLED = "yyyy-MM-dd HH:mm:ss.SSS"
KAFKA_MS = round(KAFKA_TIME.timestamp() * 1000)
DEEP = b"[" * 2000 + b"]" * 2000

REFUSED = {
    "no JSON": (b"hello", Reason.UNDECODABLE),
    "an empty value": (b"", Reason.UNDECODABLE),
    "blanks": (b"  ", Reason.UNDECODABLE),
    "a tombstone": (None, Reason.UNDECODABLE),
    "an array": (b"[" + pageview(at("10:00")) + b"]", Reason.UNDECODABLE),
    "an empty array": (b"[]", Reason.UNDECODABLE),
    "a number": (b"12", Reason.UNDECODABLE),
    "a text": (b'"x"', Reason.UNDECODABLE),
    "null": (b"null", Reason.UNDECODABLE),
    "NaN": (b"NaN", Reason.UNDECODABLE),
    "an object cut short": (b'{"uiud":"u"', Reason.UNDECODABLE),
    "a byte order mark": (b"\xef\xbb\xbf" + pageview(at("10:00")), Reason.UNDECODABLE),
    "UTF-16": (pageview(at("10:00")).decode().encode("utf-16"), Reason.UNDECODABLE),
    "bytes that are no UTF-8 in a text": (
        pageview(at("10:00"), uiud="ZZ").replace(b"ZZ", b"\xff\xfe"),
        Reason.UNDECODABLE,
    ),
    "nesting without end": (DEEP, Reason.UNDECODABLE),
    "nesting without end in an unknown field": (b'{"a":' + DEEP + b"}", Reason.UNDECODABLE),
    "a number of 2,000 digits": (b'{"sentAt":' + b"9" * 2000 + b"}", Reason.UNDECODABLE),
    "an empty object": (b"{}", Reason.MISSING_UIUD),
    "no uiud": (pageview(at("10:00"), uiud=...), Reason.MISSING_UIUD),
    "uiud null": (pageview(at("10:00"), uiud=None), Reason.MISSING_UIUD),
    "uiud empty": (pageview(at("10:00"), uiud=""), Reason.MISSING_UIUD),
    "no sessionId": (pageview(at("10:00"), sessionId=...), Reason.MISSING_SESSION_ID),
    "sessionId empty": (pageview(at("10:00"), sessionId=""), Reason.MISSING_SESSION_ID),
    "no timestamp": (pageview("", timestamp=...), Reason.MISSING_TIMESTAMP),
    "timestamp empty": (pageview(""), Reason.MISSING_TIMESTAMP),
    "no pageUrl": (pageview(at("10:00"), pageUrl=...), Reason.MISSING_PAGE_URL),
    "pageUrl empty": (pageview(at("10:00"), pageUrl=""), Reason.MISSING_PAGE_URL),
    "no page in a custom event": (pageview(at("10:00"), pageUrl=..., eventType="click"), Reason.MISSING_PAGE_URL),
    "a time of the day": (pageview("10:00"), Reason.UNREADABLE_TIMESTAMP),
    "a year": (pageview("2015-05-17"), Reason.UNREADABLE_TIMESTAMP),
    "a day that is none": (pageview("2015-02-29 10:00:00"), Reason.UNREADABLE_TIMESTAMP),
    "an hour that is none": (pageview("2015-05-17 24:00:00"), Reason.UNREADABLE_TIMESTAMP),
    "ISO 8601 with a zone": (pageview("2015-05-17T10:00:00Z"), Reason.UNREADABLE_TIMESTAMP),
    "timestamp NaN": (b'{"uiud":"u","sessionId":"s","pageUrl":"/","timestamp":NaN}', Reason.UNREADABLE_TIMESTAMP),
    "timestamp 1e30": (b'{"uiud":"u","sessionId":"s","pageUrl":"/","timestamp":1e30}', Reason.UNREADABLE_TIMESTAMP),
    "ms beyond all calendars": (pageview("", timestamp=10**18), Reason.UNREADABLE_TIMESTAMP),
    "timestamp an object": (pageview("", timestamp={"at": 1}), Reason.UNREADABLE_TIMESTAMP),
    "1 ms before 1970": (pageview("", timestamp=-1), Reason.TIMESTAMP_OUT_OF_RANGE),
    "the last second of 1969": (pageview("1969-12-31 23:59:59"), Reason.TIMESTAMP_OUT_OF_RANGE),
    "60.001 s ahead of Kafka": (pageview(KAFKA_MS + 60_001), Reason.TIMESTAMP_IN_FUTURE),
    "the year 9999": (pageview("9999-12-31 23:59:59"), Reason.TIMESTAMP_IN_FUTURE),
    "the year 33658 in ms": (pageview("", timestamp=999_999_999_999_999), Reason.TIMESTAMP_IN_FUTURE),
}

TIMES = {
    "seconds": ("2015-05-17 10:00:00", at("10:00:00")),
    "milliseconds": ("2015-05-17 10:00:00.123", at("10:00:00.123")),
    "a number": (at("10:00:00.123"), at("10:00:00.123")),
    "a number as text": (str(at("10:00:00.123")), at("10:00:00.123")),
    "the first moment of 1970": (0, 0),
    "60 s ahead of Kafka": (KAFKA_MS + 60_000, KAFKA_MS + 60_000),
    "29 February": ("2012-02-29 00:00:00", 1_330_473_600_000),
    "the hour that summer time skips elsewhere": ("2015-03-29 02:30:00", 1_427_596_200_000),
}

ACCEPTED_ODDITIES = {
    "sessionId a number": pageview(at("10:00"), sessionId=17),
    "landingPage a number": pageview(at("10:00"), landingPage=1),
    "unknown fields": pageview(at("10:00"), color="red", nested={"a": [1]}),
    "nesting of 500 in an unknown field": pageview(at("10:00"))[:-1] + b',"a":' + b"[" * 500 + b"]" * 500 + b"}",
    "a lone surrogate": pageview(at("10:00"), pageTitle="\ud800"),
    "a NUL": pageview(at("10:00"), pageTitle="a\x00b"),
    "no eventType": pageview(at("10:00"), eventType=...),
    "a replacement character that was sent as such": pageview(at("10:00"), pageTitle="a\ufffdb"),
    "the same, unescaped": pageview(at("10:00"), pageTitle="ZZ").replace(b"ZZ", "\ufffd".encode()),
    "line ends around it": b"\n" + pageview(at("10:00")) + b"\r\n",
    "sentAt that is no number": pageview(at("10:00"), sentAt="x", seq=1.5, robot="maybe", clockSkewed=3),
}


def judged(spark: SparkSession, values: list[bytes | None]) -> list[Any]:
    return transform.judge(transform.decode(messages(spark, values))).orderBy("kafkaOffset").collect()


def test_every_refused_message_has_its_reason_and_no_event_time(spark: SparkSession) -> None:
    rows = judged(spark, [value for value, _ in REFUSED.values()])
    told = {name: row.reason for name, row in zip(REFUSED, rows, strict=True)}
    assert told == {name: reason.value for name, (_, reason) in REFUSED.items()}
    assert [row.eventAt for row in rows] == [None] * len(REFUSED)


def test_every_reason_is_in_the_table() -> None:
    assert {reason for _, reason in REFUSED.values()} == set(Reason)


def test_every_form_of_a_timestamp_is_read(spark: SparkSession) -> None:
    values = [pageview("", timestamp=spelled) for spelled, _ in TIMES.values()]
    frame = transform.judge(transform.decode(messages(spark, values)))
    rows = frame.orderBy("kafkaOffset").select(F.expr("unix_millis(eventAt)").alias("ms"), "reason").collect()
    assert {name: (row.ms, row.reason) for name, row in zip(TIMES, rows, strict=True)} == {
        name: (ms, None) for name, (_, ms) in TIMES.items()
    }


def test_oddities_that_are_no_fault_are_accepted(spark: SparkSession) -> None:
    rows = judged(spark, list(ACCEPTED_ODDITIES.values()))
    assert {name: row.reason for name, row in zip(ACCEPTED_ODDITIES, rows, strict=True)} == dict.fromkeys(
        ACCEPTED_ODDITIES
    )
    assert {row.eventType for row in rows} == {"Pageview"}


def test_a_heartbeat_is_never_refused_and_moves_time_only_within_a_minute_of_kafkas(spark: SparkSession) -> None:
    values = [
        beat(at("10:00")), beat(KAFKA_MS + 60_000), beat(KAFKA_MS + 60_001), beat(-1),
        b'{"eventType":"Heartbeat"}', b'{"eventType":"Heartbeat","timestamp":"soon"}',
    ]  # fmt: skip
    rows = judged(spark, values)
    assert [row.reason for row in rows] == [None] * len(values)
    assert [row.eventAt is not None for row in rows] == [True, True, False, False, False, False]


DERIVED = {
    "all fields": {"lastPageVisited": "https://a/", "referrer": "direct"},
    "the bare minimum": {},
    "no eventType": {"eventType": ...},
    "a session that is a number": {"sessionId": 12},
    "letters of the world": {"pageUrl": "/größe/\U0001f600", "referrer": "日本"},
    "a lone surrogate": {"pageUrl": "/\ud800"},
    "control characters": {"pageUrl": "/\x1f\x00\t"},
    "an empty referrer": {"referrer": ""},
    "a null": {"referrer": None},
}


def test_spark_and_python_derive_the_same_event_id(spark: SparkSession) -> None:
    rows = judged(spark, [pageview(at("10:00:00.120"), **fields) for fields in DERIVED.values()])
    base = {"timestamp": to_event_time(at("10:00:00.120")), "uiud": "u1", "sessionId": "s1", "pageUrl": "/"}
    base["eventType"] = "Pageview"
    wanted = {}
    for name, fields in DERIVED.items():
        wanted[name] = derive_event_id({k: v for k, v in {**base, **fields}.items() if v is not ...})
    assert {name: row.eventId for name, row in zip(DERIVED, rows, strict=True)} == wanted
    assert len(set(wanted.values())) == len(wanted) - 2, "null, empty and absent are one content"


def test_the_derived_id_is_the_same_for_every_form_of_one_time(spark: SparkSession) -> None:
    values = [pageview("2015-05-17 10:00:00"), pageview("2015-05-17 10:00:00.000"), pageview("", timestamp=at("10:00"))]
    assert len({row.eventId for row in judged(spark, values)}) == 1


def test_a_session_row_has_the_contracts_columns_in_order_of_time_then_event_id(spark: SparkSession) -> None:
    frame = messages(
        spark,
        [
            pageview(at("10:29:59.999"), eventId="e4", pageUrl="/last", landingPage=1, referrer="later"),
            pageview(at("10:00:01"), eventId="e3", pageUrl="/three", pageTitle="Three", landingPage="1", referrer="r3"),
            pageview(at("10:00:01"), eventId="e2", pageUrl="/two", landingPage=0, robot=True),
            pageview(at("10:00:00"), eventId="e1", pageUrl="/one"),
        ],
    )
    wanted = spark.createDataFrame(
        [
            (
                ["/one", "/two", "/three", "/last"], ["", "", "r3", "later"], ["", "0", "1", "1"],
                ["", "", "Three", ""], ["e1", "e2", "e3", "e4"], 4, "/one", "/last", "r3", True, 0,
            )
        ],
        "Pages array<string>, referrer array<string>, LandingPageCode array<string>, pageTitles array<string>, "
        "eventIds array<string>, Pageviews long, entryPage string, exitPage string, landingReferrer string, "
        "robot boolean, correction long",
    )  # fmt: skip
    rows = sessions(frame)
    assert_df_equality(rows.select(wanted.columns), wanted, ignore_nullable=True)
    (row,) = rows.select(
        *[F.expr(f"transform({c}, t -> unix_millis(t))").alias("ms") for c in ["sessionTimestamps"]]
    ).collect()
    assert row.ms == [at("10:00:00"), at("10:00:01"), at("10:00:01"), at("10:29:59.999")]
    times = rows.select(*[F.expr(f"unix_millis({c})") for c in ("window_start", "window_end", "firstSeen", "lastSeen")])
    assert tuple(times.first()) == (at("10:00"), at("10:30"), at("10:00"), at("10:29:59.999"))


RETRIES = {
    "the same message twice": ([("10:00:00", "e1", "/a"), ("10:00:00", "e1", "/a")], [("e1", "/a")]),
    "a retry with a later time": ([("10:00:05", "e1", "/late"), ("10:00:00", "e1", "/early")], [("e1", "/early")]),
    "a retry around another event": (
        [("10:00:09", "e1", "/x"), ("10:00:05", "e2", "/y"), ("10:00:00", "e1", "/x")],
        [("e1", "/x"), ("e2", "/y")],
    ),
    "one id and time, two pages": ([("10:00:00", "e1", "/b"), ("10:00:00", "e1", "/a")], [("e1", "/a")]),
    "no repeats": ([("10:00:01", "e1", "/a"), ("10:00:00", "e2", "/b")], [("e2", "/b"), ("e1", "/a")]),
}


def test_an_event_counts_once_at_its_earliest_time_in_whatever_order_it_came(spark: SparkSession) -> None:
    for turn in (1, -1):
        values = [
            pageview(at(time), eventId=event, pageUrl=page, uiud=name)
            for name, (sent, _) in RETRIES.items()
            for time, event, page in sent[::turn]
        ]
        rows = {row.uiud: row for row in sessions(messages(spark, values)).collect()}
        told = {name: list(zip(rows[name].eventIds, rows[name].Pages, strict=True)) for name in RETRIES}
        assert told == {name: kept for name, (_, kept) in RETRIES.items()}
        assert all(row.Pageviews == len(row.eventIds) for row in rows.values())


def test_windows_are_closed_at_the_start_and_open_at_the_end(spark: SparkSession) -> None:
    frame = messages(spark, [pageview(at("10:29:59.999")), pageview(at("10:30:00.000"))])
    starts = [row[0] for row in sessions(frame).select(F.expr("unix_millis(window_start)")).collect()]
    assert sorted(starts) == [at("10:00"), at("10:30")]


def test_heartbeats_and_custom_events_are_in_no_session(spark: SparkSession) -> None:
    values = [beat(at("10:00")), pageview(at("10:00"), eventType="click"), pageview(at("10:00"), eventId="e")]
    (row,) = sessions(messages(spark, values)).collect()
    assert row.eventIds == ["e"]


def test_a_landing_referrer_is_null_where_nobody_landed(spark: SparkSession) -> None:
    (row,) = sessions(messages(spark, [pageview(at("10:00"), landingPage=0, referrer="direct")])).collect()
    assert row.landingReferrer is None


def test_accepted_messages_are_events_and_refused_ones_bad_events_with_their_bytes(spark: SparkSession) -> None:
    values = [pageview(at("10:00"), eventId="e1", sentAt=5, extra='{"a":1}'), b"\xff", None, beat(at("10:00"))]
    values.append(pageview(at("10:00"), eventType="click", sessionId=7))
    archive = transform.to_archive(messages(spark, values), topic="webevent")
    events = transform.to_events(archive).orderBy("kafkaOffset").collect()
    assert [(row.eventId[:8], row.eventType, row.sessionId, row.sentAt, row.extra) for row in events] == [
        ("e1", "Pageview", "s1", 5, '{"a":1}'), ("content-", "click", "7", None, None),
    ]  # fmt: skip
    bad = transform.to_bad_events(archive).orderBy("kafkaOffset").collect()
    assert [(bytes(row.payload), row.kafkaOffset, row.failedAt) for row in bad] == [
        (b"\xff", 1, bad[0].kafkaTimestamp), (b"", 2, bad[0].kafkaTimestamp),
    ]  # fmt: skip


AVRO_TYPES = {"string": "string", "long": "bigint", "boolean": "boolean", "bytes": "binary"}


def spark_type(avro: Any) -> str:
    if isinstance(avro, list):
        return spark_type(next(kind for kind in avro if kind != "null"))
    if isinstance(avro, dict) and avro["type"] == "array":
        return f"array<{spark_type(avro['items'])}>"
    if isinstance(avro, dict):
        return "timestamp"
    return AVRO_TYPES[avro]


@pytest.mark.parametrize("name", ["session", "event", "bad_event"])
def test_columns_are_those_of_the_avro_schema(spark: SparkSession, name: str) -> None:
    archive = transform.to_archive(messages(spark, []), topic="webevent")
    frames = {
        "session": sessions(messages(spark, [])),
        "event": transform.to_events(archive),
        "bad_event": transform.to_bad_events(archive),
    }
    wanted = [(field["name"], spark_type(field["type"])) for field in schema(name)["fields"]]
    assert wanted.pop() == ("batchKey", "string"), "the publisher adds it"
    assert frames[name].dtypes == wanted


def test_the_message_type_has_the_pageviews_fields() -> None:
    assert tuple(field["name"] for field in schema("pageview")["fields"]) == MESSAGE_FIELDS
    assert set(SESSION_FIELDS) < set(MESSAGE_FIELDS)


def test_a_visitor_with_100_000_pageviews_each_sent_twice_takes_seconds(spark: SparkSession) -> None:
    count = 100_000
    fields = {
        "uiud": F.lit("u"), "sessionId": F.lit("s"), "pageUrl": F.lit("/"), "eventType": F.lit("Pageview"),
        "timestamp": F.date_format(F.expr("timestamp_millis(1431856800000 + (id * 7919) % 1800000)"), SPELLED),
        "eventId": F.expr(f"concat('e', id % {count})"),
    }  # fmt: skip
    messages = spark.range(2 * count).select(
        F.to_json(F.struct(*[column.alias(name) for name, column in fields.items()])).cast("binary").alias("value"),
        F.lit(0).alias("partition"), F.col("id").alias("offset"), F.lit(KAFKA_TIME).alias("timestamp"),
    )  # fmt: skip
    began = time.monotonic()
    closed = transform.to_closed(transform.to_chunks(messages, window_s=WINDOW_S), window_s=WINDOW_S)
    (row,) = transform.to_rows(closed, window_s=WINDOW_S).select("Pageviews", "eventIds").collect()
    assert row.Pageviews == len(set(row.eventIds)) == count
    assert time.monotonic() - began < 20, "pairwise comparison would take minutes"


def test_python_is_handed_one_bucket_of_one_window_at_a_time(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not transform.HANDS_OVER_GROUPS:
        pytest.skip("Spark hands over a task's chunks in a few batches before 4.1")

    def keys(_: int) -> Batches:
        def told(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            table = pa.Table.from_batches(batches)
            found = table.group_by(["window_start", "bucket"]).aggregate([])
            yield pa.record_batch({"keys": [found.num_rows], "chunks": [table.num_rows]})

        return told

    monkeypatch.setattr(transform, "unpack", keys)
    monkeypatch.setattr(transform, "ROW_TYPE", "keys long, chunks long")
    given = [(at, bucket, [b"chunk"]) for at in (0, 1800) for bucket in range(16) for _ in range(3)]
    closed = spark.createDataFrame(given, "start long, bucket short, chunks array<binary>")
    closed = closed.select(F.timestamp_seconds("start").alias("window_start"), "bucket", "chunks")
    rows = transform.to_rows(closed, window_s=WINDOW_S)
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange") == 1, "grouping shuffles once more"
    assert [tuple(row) for row in rows.collect()] == [(1, 3)] * 32


def test_any_bytes_are_judged(spark: SparkSession) -> None:
    chance = random.Random(7)
    base = pageview(at("10:00"), eventId="e", referrer="direct")
    values: list[bytes | None] = [bytes(chance.randrange(256) for _ in range(chance.randrange(60))) for _ in range(300)]
    for _ in range(700):
        cut = bytearray(base)
        for _ in range(chance.randrange(1, 4)):
            cut[chance.randrange(len(cut))] = chance.randrange(256)
        values.append(bytes(cut))
    rows = judged(spark, values)
    assert len(rows) == len(values)
    assert all((row.reason is None) == (row.eventAt is not None) for row in rows if row.eventType != "Heartbeat")
    for row in rows:
        if row.reason is None and row.eventType != "Heartbeat":
            assert isinstance(json.loads(bytes(row.value).decode(errors="replace")), dict)
