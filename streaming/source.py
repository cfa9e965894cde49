"""The Kafka source."""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from streaming.settings import Settings

FETCH = {
    # Spark asks the client for its position and end after every poll, and what was fetched ahead is lost: few large
    # polls, each bounded by the bytes of one fetch.
    "kafka.max.poll.records": "50000",
    "kafka.max.partition.fetch.bytes": str(4 << 20),
}


def client_options(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The Kafka client's own settings, secrets resolved. Not to be logged."""
    given = {option.key: option.resolve(environ) for option in settings.kafka_option}
    return {"bootstrap.servers": settings.kafka_servers, **given}


def read_topic(spark: SparkSession, settings: Settings, client: Mapping[str, str]) -> DataFrame:
    """The topic as a stream: key, value, topic, partition, offset, timestamp.

    Lost offsets fail the query: a gap is for a person to judge. A new partition is read from its first offset on. Each
    partition of the topic has a task of its own, and must have: a replay then makes chunks of the same origins.
    """
    options = {
        "subscribe": settings.topic,
        **starting_options(settings.starting_offsets),
        "maxOffsetsPerTrigger": str(settings.max_offsets_per_trigger),
        "failOnDataLoss": "true",
        **FETCH,
        # Ten tries in ten seconds: a broker that restarts is no reason to fail a batch.
        "fetchOffset.numRetries": "10",
        "fetchOffset.retryIntervalMs": "1000",
        **{f"kafka.{key}": value for key, value in client.items()},
    }
    return spark.readStream.format("kafka").options(**options).load()


def starting_options(offsets: str) -> dict[str, str]:
    """Where a new checkpoint begins; a partition without a message since the given time begins at its end."""
    if offsets.isdigit():
        return {"startingTimestamp": offsets, "startingOffsetsByTimestampStrategy": "latest"}
    return {"startingOffsets": offsets}
