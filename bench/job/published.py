"""The Spark script that this project began from, made to run on PySpark 4.1; what it chooses is kept.

    spark-submit ... bench/job/published.py --kafka-servers S --topic T --out DIR [--max-offsets-per-trigger N]

Kept: a schema without eventId and pageTitle that reads `timestamp` as a timestamp, a watermark of 200 s, windows of
1,800 s, four collect_lists and a count in append mode, 200 shuffle partitions, the state store and the compression that
Spark has by default, and in each batch `df.show()` and then `coalesce(1)` into Avro. Nothing is filtered: poison has no
event time, and Spark's window leaves such rows out by itself.

Changed so that it runs: window() has its duration, withWatermark its column's name, one sink in place of two, and the
topic is read from its start. Changed so that it can be measured: the script has a trigger of 180 s and no limit to a
batch; here batches hold at most 200,000 messages, or N, and follow each other at once (availableNow) until the
topic's present end, so that no timer holds it back. `window` is written as the columns window_start and window_end. The
checkpoint lies beside DIR: a second run on both goes on from it.
"""

import argparse
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, collect_list, count, from_json, window
from pyspark.sql.types import StringType, StructField, StructType, TimestampType

BATCH = 200_000
SCHEMA = StructType(
    [
        StructField("timestamp", TimestampType(), True),
        StructField("lastPageVisited", StringType(), True),
        StructField("pageUrl", StringType(), True),
        StructField("eventType", StringType(), True),
        StructField("uiud", StringType(), True),
        StructField("sessionId", StringType(), True),
        StructField("referrer", StringType(), True),
        StructField("landingPage", StringType(), True),
    ]
)


def read_values(spark: SparkSession, servers: str, topic: str, batch: int) -> DataFrame:
    """The topic's messages from its start, as text in the column `value`."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", batch)
        .load()
        .selectExpr("CAST(value AS STRING)")
    )


def to_sessions(values: DataFrame) -> DataFrame:
    """One row per visitor, session and window."""
    visits = values.withColumn("data", from_json("value", SCHEMA)).select(col("data.*"))
    sessions = (
        visits.withWatermark("timestamp", "200 seconds")
        .groupBy("uiud", "sessionId", window("timestamp", "1800 seconds"))
        .agg(
            collect_list("pageUrl").alias("Pages"),
            collect_list("referrer").alias("referrer"),
            collect_list("landingPage").alias("LandingPageCode"),
            collect_list("timestamp").alias("sessionTimestamps"),
            count("eventType").alias("Pageviews"),
        )
    )
    start, end = col("window.start").alias("window_start"), col("window.end").alias("window_end")
    return sessions.select("uiud", "sessionId", start, end, *sessions.columns[3:])


def write_batch(sessions: DataFrame, _batch: int, *, out: str) -> None:
    """Show a batch, and append it to the files in `out`; the two compute it twice, as published."""
    sessions.show()
    sessions.coalesce(1).write.format("avro").mode("append").save(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-offsets-per-trigger", type=int, default=BATCH)
    given = parser.parse_args()
    out = given.out.resolve()
    spark = SparkSession.builder.appName("webevent-analysis").getOrCreate()
    query = (
        to_sessions(read_values(spark, given.kafka_servers, given.topic, given.max_offsets_per_trigger))
        .writeStream.trigger(availableNow=True)
        .foreachBatch(partial(write_batch, out=out.as_uri()))
        .option("checkpointLocation", (out.parent / f"{out.name}-checkpoint").as_uri())
        .outputMode("append")
        .start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
