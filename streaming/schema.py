"""Explicit types: of a message of the topic, of what the state keeps, of a row of sessions."""

from pyspark.sql.types import StringType, StructField, StructType

from contract.schemas import field_names

CORRUPT = "_corrupt"
"""Set by from_json to the whole text where it is not one JSON object."""

MESSAGE_FIELDS = field_names("pageview")

SESSION_FIELDS = tuple(
    name
    for name in MESSAGE_FIELDS
    if name not in ("sentAt", "receivedAt", "seq", "clockSkewed", "originalTimestamp", "extra")
)
"""What the sessions query reads of a message; the parser skips the rest."""


def message_type(fields: tuple[str, ...]) -> StructType:
    """All fields as text: a number where a string is wanted, or the reverse, refuses no message."""
    return StructType([StructField(name, StringType()) for name in (*fields, CORRUPT)])


CHUNK_TYPE = "eventAt timestamp, bucket smallint, origin string, hits binary"
"""streaming.chunks.CHUNK, in Spark's words."""

MESSAGE_TYPE = "value binary, partition int, offset bigint, timestamp timestamp"
READ_TYPE = f"packed struct<{CHUNK_TYPE}>, {MESSAGE_TYPE}"
"""streaming.reading.READ, in Spark's words."""

ARCHIVED_TYPE = f"packed struct<events binary, count bigint>, {MESSAGE_TYPE}"
"""streaming.reading.ARCHIVED, in Spark's words."""

EVENT_TYPE = (
    "timestamp timestamp, uiud string, sessionId string, pageUrl string, eventType string, lastPageVisited string, "
    "pageTitle string, landingPage string, referrer string, eventId string, sentAt bigint, receivedAt bigint, "
    "seq bigint, clockSkewed boolean, originalTimestamp bigint, robot boolean, extra string, kafkaPartition bigint, "
    "kafkaOffset bigint, kafkaTimestamp timestamp, kafkaTopic string"
)
"""streaming.events.ROW, in Spark's words: the contract's event without batchKey, the topic at its end."""

ROW_TYPE = (
    "uiud string, sessionId string, window_start timestamp, window_end timestamp, Pages array<string>, "
    "referrer array<string>, LandingPageCode array<string>, sessionTimestamps array<timestamp>, "
    "pageTitles array<string>, eventIds array<string>, Pageviews bigint, firstSeen timestamp, lastSeen timestamp, "
    "entryPage string, exitPage string, landingReferrer string, robot boolean, correction bigint"
)
"""streaming.chunks.ROW, in Spark's words: the contract's session without batchKey."""
