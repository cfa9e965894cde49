from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from contract.names import BACKFILL_TOPIC, BAD_TOPIC, TOPIC
from local import broker

pytestmark = pytest.mark.stack


def send(servers: str, topic: str, value: bytes) -> str | None:
    """Send one message; the broker's complaint, or None."""
    answers: list[str | None] = []
    producer = Producer({"bootstrap.servers": servers, "message.timeout.ms": 8000, "log_level": 0})
    producer.produce(topic, value, partition=0, on_delivery=lambda error, _: answers.append(error and error.name()))
    producer.flush(15)
    return answers[0]


def read(servers: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(1, timeout=15)
    consumer.close()
    return [message.value() for message in messages]


def test_the_products_topics_are_there(kafka_servers: str) -> None:
    topics = AdminClient({"bootstrap.servers": kafka_servers}).list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in (TOPIC, BACKFILL_TOPIC, BAD_TOPIC)} == {
        "webevent": 3, "webevent.backfill": 3, "webevent.bad": 3,
    }  # fmt: skip


def test_messages_keep_the_senders_time_and_are_not_deleted_by_age(kafka_servers: str) -> None:
    topic = ConfigResource(ResourceType.TOPIC, TOPIC)
    admin = AdminClient({"bootstrap.servers": kafka_servers})
    settings = admin.describe_configs([topic])[topic].result(10)
    assert settings["message.timestamp.type"].value == "CreateTime"
    assert settings["retention.ms"].value == "-1"


def test_a_topic_that_nobody_created_is_refused(kafka_servers: str) -> None:
    assert send(kafka_servers, "webevnt", b"{}") in ("_UNKNOWN_TOPIC", "_MSG_TIMED_OUT")
    assert "webevnt" not in AdminClient({"bootstrap.servers": kafka_servers}).list_topics(timeout=10).topics


def test_messages_outlive_a_crash(tmp_path: Path) -> None:
    process, servers = broker.start(tmp_path, topics=["only"], partitions=1)
    try:
        assert send(servers, "only", b"kept") is None
        process.kill()
        process, servers = broker.start(tmp_path, topics=["only"], partitions=1)
        assert read(servers, "only") == [b"kept"]
    finally:
        process.stop()
