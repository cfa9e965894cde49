"""The topic as Spark reads it, and what is told of each batch."""

import json
import logging
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contract.log import JsonFormatter
from streaming.progress import ProgressLog
from streaming.settings import Settings
from streaming.sinks import Gate
from streaming.source import client_options, read_topic

pytestmark = [pytest.mark.spark, pytest.mark.stack]


@pytest.fixture
def topic(kafka_servers: str) -> str:
    """A topic of three partitions, with two messages in each."""
    kafka = pytest.importorskip("confluent_kafka", reason="the messages are sent with it")
    from local.broker import create_topics

    create_topics(kafka_servers, ["read-in-few-tasks"], 3)
    producer = kafka.Producer({"bootstrap.servers": kafka_servers})
    for number in range(6):
        producer.produce("read-in-few-tasks", b"%d" % number, partition=number % 3)
    producer.flush()
    return "read-in-few-tasks"


def test_a_batch_is_read_in_few_tasks_and_told_in_one_line(
    spark: SparkSession, tmp_path: Path, kafka_servers: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(kafka_servers=kafka_servers, topic=topic, checkpoint="file:///c", target="file:///t")
    found: list[tuple[int, int, str]] = []
    gate = Gate()

    def look(frame: DataFrame, batch_id: int) -> None:
        task = F.spark_partition_id().alias("task")
        found.extend(map(tuple, frame.select(task, "partition", F.col("value").cast("string")).collect()))
        gate.results["read", batch_id] = {"brought": "by the sink"}

    progress = ProgressLog(gate)
    caplog.set_level(logging.INFO, "streaming.progress")
    progress.listen(spark)
    try:
        messages = read_topic(spark, settings, client_options(settings, {}), tasks=2)
        writer = messages.writeStream.queryName("read").foreachBatch(look)
        query = writer.option("checkpointLocation", tmp_path.as_uri()).trigger(availableNow=True).start()
        query.awaitTermination()
        progress.wait(10)
    finally:
        manager = spark.streams._jsqm
        manager.removeListener(manager.listListeners()[-1])
    assert sorted(value for _, _, value in found) == list("012345")
    assert len({task for task, _, _ in found}) == 2
    assert len({(task, partition) for task, partition, _ in found}) == 3, "each partition is one task's"
    (line,) = [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.message == "batch"]
    assert (line["query"], line["batchId"], line["rowsIn"], line["lag"]) == ("read", 0, 6, 0)
    assert line["brought"] == "by the sink"
