"""Pure steps from Kafka's rows to the rows of the contract: decode, judge, pack, keep, finish.

No step below the watermark filters: the optimizer would push the filter below withWatermark, parse the JSON
twice, and keep heartbeats from the watermark. A refused row loses its event time instead; window() drops it.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyspark
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.util import VersionUtils

from contract import __version__
from contract.message import DERIVED_FROM
from contract.names import HEARTBEAT, PAGEVIEW
from contract.reasons import Reason
from streaming.chunks import pack, unpack
from streaming.events import unpack as unpack_events
from streaming.packing import Batches
from streaming.plain import FUTURE_TOLERANCE_S
from streaming.reading import read_and_pack, read_and_pack_events
from streaming.schema import (
    ARCHIVED_TYPE,
    CHUNK_TYPE,
    CORRUPT,
    EVENT_TYPE,
    MESSAGE_FIELDS,
    READ_TYPE,
    ROW_TYPE,
    SESSION_FIELDS,
    message_type,
)

DATE_TIME = r"\A\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{3})?\z"
EPOCH_MS = r"\A-?\d{1,15}\z"
SEPARATOR = "\x1f"
REPLACEMENT = "\ufffd"
HANDS_OVER_GROUPS = VersionUtils.majorMinorVersion(pyspark.__version__) >= (4, 1)
"""Whether Spark can hand a group to Python batch by batch. Else all chunks that a task has are in a few batches, in
memory at once in Spark and in Python."""
KAFKA = ("kafkaTopic", "kafkaPartition", "kafkaOffset", "kafkaTimestamp")


def decode(messages: DataFrame, *, fields: tuple[str, ...] = MESSAGE_FIELDS, keep: tuple[str, ...] = ()) -> DataFrame:
    """Parse each message once. Total: whatever the bytes, a row comes out and nothing is raised.

    In:  value binary, topic string, partition int, offset long, timestamp timestamp (Kafka's), `keep`
    Out: value, kafkaTopic, kafkaPartition long, kafkaOffset long, kafkaTimestamp, undecodable boolean, `fields` string,
         `keep`

    Text after the first JSON object of a value is not looked at.
    """
    text = F.col("value").cast("string")
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    parsed = messages.select(
        "value",
        F.col("topic").alias("kafkaTopic"),
        F.col("partition").cast("long").alias("kafkaPartition"),
        F.col("offset").alias("kafkaOffset"),
        F.col("timestamp").alias("kafkaTimestamp"),
        F.from_json(text, message_type(fields), options).alias("message"),
        *keep,
    )
    undecodable = F.col("message").isNull() | F.col(f"message.{CORRUPT}").isNotNull() | _is_not_utf8(text)
    return parsed.select(
        "value",
        *KAFKA,
        undecodable.alias("undecodable"),
        *[F.col(f"message.{name}").alias(name) for name in fields],
        *keep,
    )


def judge(decoded: DataFrame) -> DataFrame:
    """Say of each message when it happened and, where it is refused, why.

    In:  the columns of decode
    Out: the same, with eventType filled in, eventId never null where accepted, and
         eventAt timestamp: null for refused rows and for heartbeats too far ahead, so that they move no watermark
         reason string: null where accepted
    """
    timed = decoded.withColumn("eventAt", _event_time())
    judged = timed.withColumn("reason", _reason())
    within = _not_before_1970() & _not_in_future()
    return (
        judged.withColumn("eventAt", F.when(F.col("reason").isNull() & within, F.col("eventAt")))
        .withColumn("eventId", F.coalesce(_given("eventId"), _derived_event_id()))
        .withColumn("eventType", F.coalesce(_given("eventType"), F.lit(PAGEVIEW)))
    )


def to_chunks(messages: DataFrame, *, window_s: int) -> DataFrame:
    """Messages packed into chunks: each has hits of one window and one bucket of visitors.

    In:  the columns of decode
    Out: eventAt timestamp: the newest in the chunk, bucket short, origin string, hits binary: null where the chunk
         moves the watermark only

    Plain messages are read and packed at once (streaming.plain); decode and judge have the others, of which there are
    few in what the collector sends.
    """
    read = messages.select("value", "partition", "offset", "timestamp").mapInArrow(read_and_pack(window_s), READ_TYPE)
    others = read.withColumn("topic", F.lit(None).cast("string"))
    hits = to_hits(judge(decode(others, fields=SESSION_FIELDS, keep=("packed",))))
    return hits.mapInArrow(pack(window_s), CHUNK_TYPE)


def to_hits(judged: DataFrame) -> DataFrame:
    """One row a message, with what a session needs of it.

    In:  the columns of judge, and packed
    Out: packed, kafkaPartition, kafkaOffset, uiud, sessionId, eventAt, eventId, pageUrl: null for anything but an
         accepted pageview, referrer, landingPage, pageTitle, robot boolean
    """
    is_pageview = F.col("reason").isNull() & (F.col("eventType") == PAGEVIEW)
    return judged.select(
        "packed",
        "kafkaPartition",
        "kafkaOffset",
        "uiud",
        "sessionId",
        "eventAt",
        "eventId",
        F.when(is_pageview, F.col("pageUrl")).alias("pageUrl"),
        *[F.coalesce(F.col(name), F.lit("")).alias(name) for name in ("referrer", "landingPage", "pageTitle")],
        F.coalesce(_try_cast("robot", "boolean"), F.lit(False)).alias("robot"),
    )


def to_closed(chunks: DataFrame, *, window_s: int) -> DataFrame:
    """Keep chunks until their window closes.

    In:  the columns of to_chunks, eventAt watermarked when streaming
    Out: window_start timestamp, bucket short, chunks array<binary>

    Windows are tumbling, UTC, closed at the start and open at the end: 10:30:00.000 opens the second one. Each chunk
    has a group of its own, so that the state writes it once, whatever comes later in its window; only parts of one
    chunk share an origin. Chunks without hits are left out of the output only.
    """
    window = F.window("eventAt", f"{window_s} seconds").alias("window")
    grouped = chunks.groupBy(window, "bucket", "origin").agg(F.collect_list("hits").alias("chunks"))
    return grouped.where(F.size("chunks") > 0).select(F.col("window.start").alias("window_start"), "bucket", "chunks")


def to_rows(closed: DataFrame, *, window_s: int, files: int = 1) -> DataFrame:
    """The contract's session rows, but for batchKey, in as many partitions as `files`.

    In:  the columns of to_closed
    Out: the fields of session.v1.avsc in its order, without batchKey, one row per visitor, session and window

    Of hits with one eventId the earliest counts. All arrays are ordered by time, then eventId.
    """
    key = ("window_start", "bucket")
    together = closed.repartition(files, *key)
    if HANDS_OVER_GROUPS:
        return together.groupBy(*key).applyInArrow(_of_group(unpack(window_s)), ROW_TYPE)
    return together.sortWithinPartitions(*key).mapInArrow(unpack(window_s), ROW_TYPE)


def _of_group(unpacked: Batches) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """With the types by which Spark sees that a group is to be handed over batch by batch."""

    def of_group(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return unpacked(batches)

    return of_group


def to_archive(messages: DataFrame, *, topic: str) -> DataFrame:
    """Messages on their way to the archive: plain ones packed into chunks of events, the others one by one.

    In:  the columns of decode
    Out: packed struct<events binary, count bigint>: a chunk, and how many events are in it; else null, and the message
         is in the columns of judge, with value where it is refused only
    """
    read = messages.select("value", "partition", "offset", "timestamp")
    read = read.mapInArrow(read_and_pack_events(), ARCHIVED_TYPE).withColumn("topic", F.lit(topic))
    judged = judge(decode(read, keep=("packed",)))
    judged = judged.withColumn("reason", F.when(F.col("packed").isNull(), F.col("reason")))
    return judged.withColumn("value", F.when(F.col("reason").isNotNull(), F.col("value")))


def count_events() -> Column:
    """How many events a row of to_archive is."""
    return F.coalesce("packed.count", (F.col("reason").isNull() & (F.col("eventType") != HEARTBEAT)).cast("bigint"))


def count_messages() -> Column:
    """How many messages a row of to_archive is."""
    return F.coalesce("packed.count", F.lit(1))


def to_events(archive: DataFrame) -> DataFrame:
    """The contract's event rows, but for batchKey: one per accepted message that is no heartbeat.

    In:  the columns of to_archive
    """
    rows = archive.where(count_events() > 0).select(
        "packed",
        F.col("eventAt").alias("timestamp"),
        *("uiud", "sessionId", "pageUrl", "eventType"),
        *("lastPageVisited", "pageTitle", "landingPage", "referrer", "eventId"),
        *[_try_cast(name, "bigint").alias(name) for name in ("sentAt", "receivedAt", "seq")],
        _try_cast("clockSkewed", "boolean").alias("clockSkewed"),
        _try_cast("originalTimestamp", "bigint").alias("originalTimestamp"),
        _try_cast("robot", "boolean").alias("robot"),
        "extra",
        *KAFKA,
    )
    return rows.mapInArrow(unpack_events, EVENT_TYPE).select(*rows.columns[1:])


def to_bad_events(archive: DataFrame) -> DataFrame:
    """The contract's bad_event rows, but for batchKey: one per refused message, with its bytes.

    In:  the columns of to_archive
    """
    return archive.where(F.col("reason").isNotNull()).select(
        "reason",
        F.lit("streaming").alias("stage"),
        F.lit("webevents").alias("processor"),
        F.lit(__version__).alias("processorVersion"),
        F.col("kafkaTimestamp").alias("failedAt"),
        F.coalesce("value", F.lit(b"")).alias("payload"),
        "eventId",
        *KAFKA,
    )


def _is_not_utf8(text: Column) -> Column:
    """Whether a field that sessions are made of has bytes that are no UTF-8: both queries then refuse the message.

    The parser puts U+FFFD in place of such bytes. Where there is one, a round trip through text tells whether the
    sender sent it so; for every message that trip would be a third of the cost of parsing.
    """
    read = F.concat_ws("", *[f"message.{name}" for name in SESSION_FIELDS])
    return read.contains(REPLACEMENT) & (F.encode(text, "UTF-8") != F.col("value"))


def _event_time() -> Column:
    """UTC time of 'yyyy-MM-dd HH:mm:ss[.SSS]' or of ms since the epoch; null for anything else.

    The shape is checked first: a plain cast also takes '10:00' as that time of the day of the run.
    """
    text = F.col("timestamp")
    micros = F.expr("timestamp_micros(try_multiply(try_cast(timestamp AS bigint), 1000L))")
    return F.when(text.rlike(DATE_TIME), _try_cast("timestamp", "timestamp")).when(text.rlike(EPOCH_MS), micros)


def _reason() -> Column:
    """The first reason that holds; a heartbeat is never refused."""
    verdict = F.when(F.col("undecodable"), Reason.UNDECODABLE.value)
    verdict = verdict.when(F.col("eventType") == HEARTBEAT, F.lit(None))
    for condition, reason in (
        (_given("uiud").isNull(), Reason.MISSING_UIUD),
        (_given("sessionId").isNull(), Reason.MISSING_SESSION_ID),
        (_given("timestamp").isNull(), Reason.MISSING_TIMESTAMP),
        (_given("pageUrl").isNull(), Reason.MISSING_PAGE_URL),
        (F.col("eventAt").isNull(), Reason.UNREADABLE_TIMESTAMP),
        (~_not_before_1970(), Reason.TIMESTAMP_OUT_OF_RANGE),
        (~_not_in_future(), Reason.TIMESTAMP_IN_FUTURE),
    ):
        verdict = verdict.when(condition, reason.value)
    return verdict


def _not_before_1970() -> Column:
    return F.col("eventAt") >= F.lit("1970-01-01 00:00:00").cast("timestamp")


def _not_in_future() -> Column:
    return F.unix_micros("eventAt") <= F.unix_micros("kafkaTimestamp") + FUTURE_TOLERANCE_S * 1_000_000


def _derived_event_id() -> Column:
    """contract.message.derive_event_id in Spark; null where there is no event time to derive it from."""
    spelled = {"timestamp": F.date_format("eventAt", "yyyy-MM-dd HH:mm:ss.SSS")}
    parts = [F.coalesce(spelled.get(name, F.col(name)), F.lit("")) for name in DERIVED_FROM]
    digest = F.sha2(F.concat_ws(SEPARATOR, *parts), 256)
    return F.when(F.col("reason").isNull(), F.concat(F.lit("content-"), F.substring(digest, 1, 32)))


def _given(name: str) -> Column:
    """The field, or null where it is empty."""
    return F.when(F.col(name) != "", F.col(name))


def _try_cast(name: str, kind: str) -> Column:
    return F.expr(f"try_cast({name} AS {kind})")
