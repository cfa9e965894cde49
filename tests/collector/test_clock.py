"""The machine's clock is set while the collector runs; its monotonic clock goes on, as it does on a real machine."""

import os
from pathlib import Path

import pytest

from tests.collector.load import Load
from tests.collector.parts import CollectorProcess, new_topic, read_topic, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow]

LIBRARIES = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")


@pytest.fixture
def library() -> Path:
    """libfaketime; without it the test is skipped, in CI it fails."""
    found = next(LIBRARIES, None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no libfaketime: apt install libfaketime")
    assert found is not None
    return found


@pytest.mark.timeout(120)
def test_a_clock_that_is_set_forth_and_back_loses_nothing(
    kafka_servers: str, tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(kafka_servers)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with monkeypatch.context() as faked:
        faked.setenv("LD_PRELOAD", str(library))
        faked.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        faked.setenv("FAKETIME_NO_CACHE", "1")
        faked.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        collector = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    with Load(collector.port, pause_s=0.005) as load:
        for offset in ("+0", "+3600", "-3600", "+0"):
            clock.write_text(offset)
            goal = len(load.accepted) + 500
            wait_for(lambda goal=goal: len(load.accepted) >= goal, f"pageviews are taken at {offset} s")
    assert collector.metric("spooling") == 0
    assert collector.stop() == 0
    events = {event["eventId"]: event for event in read_topic(kafka_servers, topic)}
    assert set(load.statuses) == {200}
    assert set(load.accepted) <= events.keys()
    received = [event["receivedAt"] for event in events.values()]
    assert max(received) - min(received) > 7_000_000, "the collector saw the clock that was set"
