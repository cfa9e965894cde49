"""A bad line to the broker: every pageview is answered in time, and what was answered with 200 is in the topic."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import broker
from tests.collector.line import Line
from tests.collector.load import Load
from tests.collector.parts import CollectorProcess, new_topic, wait_for
from tests.collector.test_faults import ANSWER_S, RSS_MB, lost, rss_mb

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CLIENTS = "advertised.listeners=CLIENTS://{host}:{clients}"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A line to a broker that tells its clients to come over it; its own address is `servers`."""
    between = Line()
    with pytest.MonkeyPatch.context() as patch:
        over = broker.PROPERTIES.replace(CLIENTS, CLIENTS.replace("{clients}", str(between.port)))
        assert over != broker.PROPERTIES
        patch.setattr(broker, "PROPERTIES", over)
        between.target = broker.processes.pick_port(None, "--kafka-port")
        process, _ = broker.start(tmp_path_factory.mktemp("broker"), port=between.target)
    yield between
    between.close()
    process.stop()


ILLS = {
    "two seconds late": {"delay_s": 2.0},
    "10 kB a second": {"bytes_s": 10_000.0, "slice_bytes": 1_000},
    "cut twice a second": {"cut_after_s": 0.5},
    "in slices of 7 bytes": {"slice_bytes": 7},
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("ill", ILLS.values(), ids=ILLS)
def test_a_bad_line_to_the_broker(line: Line, tmp_path: Path, ill: dict[str, float]) -> None:
    servers = f"127.0.0.1:{line.port}"
    topic = new_topic(servers)
    collector = CollectorProcess(servers, tmp_path, topic=topic)
    try:
        with Load(collector.port, pause_s=0.005) as load:
            wait_for(lambda: len(load.accepted) > 50, "the load begins")
            vars(line).update(ill)
            load._stopped.wait(8)
            under = len(load.accepted)
            wait_for(lambda: len(load.accepted) > under + 100, "pageviews are taken all the time")
            line.heal()
            wait_for(collector.drained, "the spool is drained under load", within_s=60)
            direct = len(load.accepted)
            wait_for(lambda: len(load.accepted) > direct + 100, "the load goes on")
    finally:
        line.heal()
    spooled = collector.metric('events_stored_total{at="spool"}')
    print(f"slowest answer {max(load.seconds):.2f} s, by the spool {spooled:.0f}, RSS {rss_mb(collector):.0f} MB")
    assert load.cut == 0
    assert list(load.statuses) == [200]
    assert max(load.seconds) < ANSWER_S
    assert rss_mb(collector) < RSS_MB
    assert collector.stop() == 0
    assert not lost(servers, topic, load.accepted)
