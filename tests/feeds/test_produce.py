"""Sending to a real broker, and what happens where there is none."""

import json
import random
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import cli
from contract.failures import ConfigError, TransientError
from contract.reasons import Reason
from feeds import produce
from feeds.produce import Sender
from local.visitors import send, simulate
from tests.feeds.imports import REAL_LOG, import_files, log_line, write_log
from tests.oracle import judge, read_topic


@pytest.fixture
def topic(kafka_servers: str) -> Iterator[str]:
    """A topic of three partitions for one test."""
    name = f"test.{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_servers})
    for done in admin.create_topics([NewTopic(name, 3, 1)]).values():
        done.result(30)
    yield name
    for done in admin.delete_topics([name]).values():
        done.result(30)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, and never listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.stack
def test_the_real_log_lies_on_the_topic_in_turn(
    kafka_servers: str, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = ["import-log", str(REAL_LOG), "--kafka-servers", kafka_servers, "--topic", topic, "--json"]
    assert cli.main(argv) == 0
    counts = json.loads(capfd.readouterr().out)
    assert (counts["pageviews"], counts["acknowledged"]) == (1418, 1421)
    messages = read_topic(kafka_servers, topic)
    assert {message.value for message in messages if b"Heartbeat" not in (message.value or b"")} == {
        value for _, value in import_files(REAL_LOG)[1].messages
    }
    verdict = judge(messages)
    assert (verdict.pageviews, verdict.heartbeats, sum(verdict.rejected.values())) == (1418, 3, 0)


@pytest.mark.stack
def test_messages_go_to_the_partitions_in_turn_and_heartbeats_to_each(kafka_servers: str, topic: str) -> None:
    sender = Sender(kafka_servers, topic)
    for number in range(7):
        sender.send(b"the same key", b"%d" % number)
    sender.send_heartbeats(0)
    sender.finish()
    assert (sender.sent, sender.acknowledged) == (10, 10)
    values = [message.value for message in read_topic(kafka_servers, topic)]
    beat = b'{"timestamp":"1970-01-01 00:00:00.000","eventType":"Heartbeat"}'
    assert values == [b"0", b"3", b"6", beat, b"1", b"4", beat, b"2", b"5", beat]


@pytest.mark.stack
def test_a_missing_topic_is_named_with_the_nearest_and_is_not_created(kafka_servers: str, topic: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Sender(kafka_servers, topic + "x")
    assert str(caught.value) == f"no topic {topic}x at {kafka_servers}; did you mean {topic}?"
    assert topic + "x" not in AdminClient({"bootstrap.servers": kafka_servers}).list_topics(timeout=10).topics


@pytest.mark.stack
def test_a_message_that_the_broker_refuses_is_no_success(kafka_servers: str, topic: str) -> None:
    sender = Sender(kafka_servers, topic, {"message.max.bytes": "100000000"})
    sender.send(None, random.Random(1).randbytes(3_000_000))
    with pytest.raises(TransientError, match="Kafka acknowledged 0 messages and not the rest"):
        sender.finish()


@pytest.mark.stack
def test_a_file_that_cannot_be_read_is_exit_1_though_the_rest_is_sent(
    kafka_servers: str, topic: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "a.log", log_line(), "damaged")
    argv = [str(tmp_path / "none.log"), str(log), "--kafka-servers", kafka_servers, "--topic", topic]
    assert cli.main(["import-log", *argv, "--site", "https://example.org"]) == 1
    said = " ".join(capfd.readouterr().out.split())
    assert "none.log: cannot be read: No such file or directory" in said
    assert "a.log:2: not in the combined log format" in said
    assert len(read_topic(kafka_servers, topic)) == 4


@pytest.mark.stack
def test_a_plan_arrives_whole_and_in_order(kafka_servers: str, topic: str) -> None:
    plan = list(simulate(7, pageviews=500, start_ms=time.time_ns() // 1_000_000))
    assert sum(send([each for each in plan if each.phase == phase], kafka_servers, topic) for phase in (1, 2)) == len(
        plan
    )
    found = read_topic(kafka_servers, topic)
    assert Counter(message.value for message in found) == Counter(each.value for each in plan)
    verdict = judge(found)
    assert verdict.rejected == dict.fromkeys(Reason, 3)
    assert len(verdict.event_ids) == 500 + 20


def test_without_a_broker_one_sentence_comes_in_bounded_time(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(produce, "CONNECT_S", 1.0)
    started_s = time.monotonic()
    exit_code = cli.main(["import-log", str(REAL_LOG), "--kafka-servers", f"127.0.0.1:{closed_port}"])
    assert exit_code == 75
    assert time.monotonic() - started_s < 5
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"webevents import-log: no Kafka broker answers at 127.0.0.1:{closed_port} within 1 s")
    assert said.err.count("\n") == 1


def test_an_unreadable_address_is_one_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce, "CONNECT_S", 1.0)
    assert cli.main(["import-log", "a.log", "--kafka-servers", "::::"]) in (75, 78)
    assert capfd.readouterr().err.count("\n") == 1


def test_all_faults_of_the_settings_are_listed_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import-log", "--robots", "flags", "--sites=x"]) == 78
    said = capfd.readouterr().err
    for part in ("did you mean flag?", "did you mean --site?", "--kafka-servers: required", "FILES: required"):
        assert part in said
