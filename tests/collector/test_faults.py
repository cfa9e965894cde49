"""What is answered with 200 is in the topic: over kill -9, without a broker, with a stopped one, with a full disk."""

import contextlib
import random
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.producer import TRY_MS
from local import broker
from local.processes import Process
from tests.collector.load import Load
from tests.collector.parts import HOST, CollectorProcess, new_topic, pageview, read_topic, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow]

RSS_MB = 250
ANSWER_S = 5


class Broker:
    """A broker of the test's own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: Process
        self.process, self.servers = broker.start(folder)

    def restart(self) -> None:
        port = int(self.servers.rpartition(":")[2])
        self.process, _ = broker.start(self.folder, port=port)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    shared = Broker(tmp_path_factory.mktemp("broker"))
    yield shared
    shared.process.stop()


@pytest.fixture
def own_broker(shared_broker: Broker) -> Broker:
    """The broker that tests may harm, up again."""
    shared_broker.process.signal(signal.SIGCONT)
    if not shared_broker.process.alive():
        shared_broker.restart()
    return shared_broker


def lost(servers: str, topic: str, accepted: list[str]) -> set[str]:
    stored = [event["eventId"] for event in read_topic(servers, topic)]
    gone = set(accepted) - set(stored)
    twice = len(stored) - len(set(stored))
    print(f"accepted {len(accepted)}, in the topic {len(set(stored))}, twice {twice}, lost {len(gone)}")
    return gone


def rss_mb(collector: CollectorProcess) -> float:
    lines = Path(f"/proc/{collector.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.timeout(180)
def test_kill_9_twenty_times_under_load_loses_nothing_that_was_accepted(kafka_servers: str, tmp_path: Path) -> None:
    topic = new_topic(kafka_servers)
    collector = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    chance = random.Random(20)
    with Load(collector.port) as load:
        for _ in range(20):
            goal = len(load.accepted) + chance.randint(1, 200)
            wait_for(lambda goal=goal: len(load.accepted) >= goal, "the load goes on")
            collector.kill()
            collector.restart()
    wait_for(collector.drained, "the spool is drained")
    assert collector.stop() == 0
    assert len(load.accepted) > 500
    assert load.cut > 0
    assert not lost(kafka_servers, topic, load.accepted)


@pytest.mark.timeout(180)
def test_kill_9_while_the_broker_is_away_loses_nothing_that_was_accepted(own_broker: Broker, tmp_path: Path) -> None:
    topic = new_topic(own_broker.servers)
    collector = CollectorProcess(own_broker.servers, tmp_path, "--ack-wait-ms", "300", topic=topic)
    with Load(collector.port) as load:
        wait_for(lambda: len(load.accepted) > 50, "the load begins")
        own_broker.process.kill()
        for _ in range(5):
            goal = len(load.accepted) + 100
            wait_for(lambda goal=goal: len(load.accepted) >= goal, "the spool takes pageviews")
            collector.kill()
            collector.restart()
    own_broker.restart()
    wait_for(collector.drained, "the spool is drained", within_s=60)
    assert not lost(own_broker.servers, topic, load.accepted)
    assert collector.stop() == 0


AWAY = {
    "killed for 15 s": ("kill", 15), "stopped for 15 s": ("stop", 15),
    "killed for 60 s": ("kill", 60), "stopped for 30 s": ("stop", 30),
}  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("fault", "seconds"),
    [pytest.param(*away, marks=[pytest.mark.long] if away[1] > 15 else []) for away in AWAY.values()],
    ids=AWAY,
)
def test_a_broker_away_under_load(own_broker: Broker, tmp_path: Path, fault: str, seconds: int) -> None:
    topic = new_topic(own_broker.servers)
    collector = CollectorProcess(own_broker.servers, tmp_path, topic=topic)
    with Load(collector.port, pause_s=0.005) as load:
        wait_for(lambda: len(load.accepted) > 50, "the load begins")
        if fault == "kill":
            own_broker.process.kill()
        else:
            own_broker.process.signal(signal.SIGSTOP)
        wait_for(lambda: collector.metric("oldest_unacked_seconds") > 1, "an answer that the broker owes shows")
        wait_for(lambda: collector.metric("spooling") == 1, "the collector spools")
        spooled = len(load.accepted)
        load._stopped.wait(seconds)
        assert len(load.accepted) > spooled + 500
        assert collector.get("/readyz") == {"ready": True, "storesAt": "spool"}
        if fault == "kill":
            own_broker.restart()
        else:
            own_broker.process.signal(signal.SIGCONT)
        wait_for(collector.drained, "the spool is drained under load", within_s=60)
        direct = len(load.accepted)
        wait_for(lambda: len(load.accepted) > direct + 100, "the load goes on")
    assert load.cut == 0
    assert list(load.statuses) == [200]
    print(f"slowest answer {max(load.seconds):.2f} s, RSS {rss_mb(collector):.0f} MB")
    assert max(load.seconds) < ANSWER_S
    assert rss_mb(collector) < RSS_MB
    assert collector.stop() == 0
    assert not lost(own_broker.servers, topic, load.accepted)


@contextmanager
def limited(pid: int, limit: int, value: int) -> Iterator[None]:
    """A limit of the kernel's on a process that runs."""
    soft, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, limit, (soft, hard))


@pytest.mark.timeout(180)
def test_a_broker_whose_disk_takes_nothing_more(own_broker: Broker, tmp_path: Path) -> None:
    topic = new_topic(own_broker.servers)
    collector = CollectorProcess(own_broker.servers, tmp_path, topic=topic)
    with Load(collector.port, pause_s=0.005) as load:
        wait_for(lambda: len(load.accepted) > 50, "the load begins")
        with limited(own_broker.process.pid, resource.RLIMIT_FSIZE, 1):
            wait_for(lambda: collector.metric("spooling") == 1, "the collector spools")
            spooled = len(load.accepted)
            wait_for(lambda: len(load.accepted) > spooled + 500, "the spool takes pageviews")
            wait_for(lambda: not own_broker.process.alive(), "the broker gives up")
            load._stopped.wait(TRY_MS / 1_000 + 2)  # what librdkafka still had is given up too
        own_broker.restart()
        wait_for(collector.drained, "the spool is drained under load", within_s=60)
    assert list(load.statuses) == [200]
    assert max(load.seconds) < ANSWER_S
    assert collector.stop() == 0
    assert not lost(own_broker.servers, topic, load.accepted)


@pytest.mark.timeout(120)
def test_more_connections_than_the_process_may_have_files(kafka_servers: str, tmp_path: Path) -> None:
    topic = new_topic(kafka_servers)
    collector = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    with Load(collector.port, connections=4) as load:
        wait_for(lambda: len(load.accepted) > 50, "the load begins")
        with limited(collector.process.pid, resource.RLIMIT_NOFILE, 64):
            crowd = [socket.socket() for _ in range(200)]
            for one in crowd:
                one.setblocking(False)
                one.connect_ex((HOST, collector.port))
            before = len(load.accepted)
            wait_for(lambda: len(load.accepted) > before + 200, "who was there before is served")
            for one in crowd:
                one.close()
        wait_for(collector.answers, "new connections are taken again")
    assert list(load.statuses) == [200]
    assert collector.stop() == 0
    assert not lost(kafka_servers, topic, load.accepted)


def test_a_full_spool_is_507_and_what_was_accepted_arrives(own_broker: Broker, tmp_path: Path) -> None:
    topic = new_topic(own_broker.servers)
    collector = CollectorProcess(own_broker.servers, tmp_path, "--ack-wait-ms", "300", "--spool-mb", "1", topic=topic)
    own_broker.process.kill()
    with Load(collector.port) as load:
        wait_for(lambda: 507 in load.statuses, "the spool is full")
    assert not {500, 502} & set(load.statuses)
    assert collector.get("/healthz") == {"status": "ok"}
    own_broker.restart()
    wait_for(collector.drained, "the spool is drained", within_s=60)
    with Load(collector.port, connections=1) as again:
        wait_for(lambda: len(again.accepted) > 5, "pageviews are taken again")
    assert collector.stop() == 0
    assert not lost(own_broker.servers, topic, load.accepted + again.accepted)


def test_a_collector_starts_without_a_broker_and_delivers_when_one_comes(own_broker: Broker, tmp_path: Path) -> None:
    topic = new_topic(own_broker.servers)
    own_broker.process.kill()
    collector = CollectorProcess(own_broker.servers, tmp_path, "--ack-wait-ms", "300", topic=topic)
    with Load(collector.port, connections=1) as load:
        wait_for(lambda: len(load.accepted) > 5, "the spool takes pageviews")
    own_broker.restart()
    wait_for(collector.drained, "the spool is drained", within_s=60)
    assert collector.stop() == 0
    assert not lost(own_broker.servers, topic, load.accepted)


def test_sigterm_answers_what_has_begun(kafka_servers: str, tmp_path: Path) -> None:
    topic = new_topic(kafka_servers)
    collector = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    with Load(collector.port) as load:
        wait_for(lambda: len(load.accepted) > 200, "the load begins")
        assert collector.stop() == 0
    assert set(load.statuses) == {200}
    assert not lost(kafka_servers, topic, load.accepted)


def test_heartbeats_reach_every_partition_and_have_no_visitor(kafka_servers: str, tmp_path: Path) -> None:
    from confluent_kafka import Consumer, TopicPartition

    topic = new_topic(kafka_servers)
    collector = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    consumer = Consumer({"bootstrap.servers": kafka_servers, "group.id": topic, "log_level": 3})

    def ends() -> list[int]:
        return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(3)]

    wait_for(lambda: min(ends()) >= 1, "a heartbeat in each partition")
    consumer.close()
    assert collector.stop() == 0
    assert read_topic(kafka_servers, topic) == []
    assert pageview()["eventType"] == "Pageview"
