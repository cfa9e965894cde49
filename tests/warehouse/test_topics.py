"""The archive against the topic, offset by offset, on a real broker."""

import pytest
from confluent_kafka import Producer

from contract.failures import TransientError
from contract.message import heartbeat
from contract.names import Kind
from local.broker import create_topics
from tests.warehouse.conftest import bad, event
from warehouse.topics import Span, archived_runs, coverage

pytestmark = pytest.mark.stack


@pytest.fixture
def topic(kafka_servers, room):
    """A topic of one partition: pageview, heartbeat, refused, pageview, heartbeat."""
    name = f"topic-{room.dataset}"
    create_topics(kafka_servers, [name], partitions=1)
    producer = Producer({"bootstrap.servers": kafka_servers})
    for value in (b"{}", heartbeat(0), b"poison", b"{}", heartbeat(1)):
        producer.produce(name, value, partition=0)
    assert producer.flush(30) == 0
    return name


def archive(room, topic, *offsets):
    """Put these offsets into the archive; 2 is the refused message."""
    for offset in offsets:
        row, kind = (bad(offset), Kind.BAD) if offset == 2 else (event(f"e{offset}", offset=offset), Kind.EVENTS)
        room.load(kind, {**row, "kafkaTopic": topic})


def test_all_messages_but_heartbeats_are_archived(room, kafka_servers, topic):
    archive(room, topic, 0, 2, 3)
    found = coverage(room.client, room.dataset, kafka_servers, topic)
    assert (found.messages, found.archived, found.heartbeats, found.unread, found.absent) == (5, 3, 2, 0, ())


def test_a_gap_before_the_archives_end_is_absent(room, kafka_servers, topic):
    archive(room, topic, 0, 3)
    assert coverage(room.client, room.dataset, kafka_servers, topic).absent == (f"{topic}/0/2",)


def test_what_lies_behind_the_archives_end_is_unread(room, kafka_servers, topic):
    archive(room, topic, 0)
    found = coverage(room.client, room.dataset, kafka_servers, topic)
    assert (found.unread, found.absent) == (2, ())


def test_an_archive_of_another_topic_counts_nothing(room, kafka_servers, topic):
    archive(room, "another", 0, 2, 3)
    assert coverage(room.client, room.dataset, kafka_servers, topic).unread == 3


def test_runs_are_unbroken(room):
    archive(room, "runs", 0, 1, 2, 5)
    assert archived_runs(room.client, room.dataset, "runs") == [Span(0, 0, 3), Span(0, 5, 6)]


def test_a_broker_that_does_not_answer_is_one_sentence(room, monkeypatch):
    monkeypatch.setattr("warehouse.topics.TIMEOUT_S", 1.0)
    with pytest.raises(TransientError, match="Kafka at 127.0.0.1:1 does not answer"):
        coverage(room.client, room.dataset, "127.0.0.1:1", "webevent")
