"""The topic as Spark reads it."""

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.settings import Settings
from streaming.source import client_options, read_topic

pytestmark = [pytest.mark.spark, pytest.mark.stack]
TOPIC = "a-task-a-partition"


@pytest.fixture
def servers(kafka_servers: str) -> str:
    """A broker with a topic of five partitions, with two messages in each."""
    kafka = pytest.importorskip("confluent_kafka", reason="the messages are sent with it")
    from local.broker import create_topics

    create_topics(kafka_servers, [TOPIC], 5)
    producer = kafka.Producer({"bootstrap.servers": kafka_servers})
    for number in range(10):
        producer.produce(TOPIC, b"%d" % number, partition=number % 5)
    producer.flush()
    return kafka_servers


def test_each_partition_is_read_by_a_task_of_its_own(spark: SparkSession, tmp_path: Path, servers: str) -> None:
    settings = Settings(kafka_servers=servers, topic=TOPIC, checkpoint="file:///c", target="file:///t")
    read: Counter[tuple[int, int]] = Counter()

    def look(frame: DataFrame, batch_id: int) -> None:
        rows = frame.select(F.spark_partition_id().alias("task"), "partition").collect()
        read.update((row["task"], row["partition"]) for row in rows)

    messages = read_topic(spark, settings, client_options(settings, {}))
    writer = messages.writeStream.foreachBatch(look).option("checkpointLocation", tmp_path.as_uri())
    writer.trigger(availableNow=True).start().awaitTermination()
    assert list(read.values()) == [2] * 5
    assert {task for task, _ in read} == {partition for _, partition in read} == set(range(5))
