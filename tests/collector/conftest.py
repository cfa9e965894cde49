"""The collector's real parts."""

from collections.abc import Iterator

import pytest

from tests.collector.parts import STARTED, CollectorProcess, new_topic


@pytest.fixture(scope="module")
def collector(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One collector for a module's tests, on a topic of its own (`collector.topic`), with short limits."""
    process = CollectorProcess(
        kafka_servers, tmp_path_factory.mktemp("collector"), "--request-s", "1", topic=new_topic(kafka_servers)
    )
    yield process
    assert process.stop() == 0


@pytest.fixture(autouse=True)
def leave_no_process() -> Iterator[None]:
    """A test that fails half-way leaves no collector behind; those of a wider scope stay."""
    before = len(STARTED)
    yield
    for process in STARTED[before:]:
        if process.poll() is None:
            process.kill()
            process.wait()
