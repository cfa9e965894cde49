"""An import cut into micro-batches of any size has nothing late, because it goes to the partitions in turn."""

import json
import math
import zlib
from collections.abc import Sequence

import pytest

from tests.feeds.imports import REAL_LOG, import_files
from tests.feeds.recorder import Recorder
from tests.oracle import read_time

WINDOW_MS, DELAY_MS = 1_800_000, 200_000
BATCH_SIZES = (30, 100, 200, 500, 1000)


@pytest.fixture(scope="module")
def imported() -> Recorder:
    return import_files(REAL_LOG)[1]


@pytest.mark.parametrize("max_offsets", BATCH_SIZES)
def test_nothing_is_late_in_batches_of(max_offsets: int, imported: Recorder) -> None:
    assert late_in_batches(in_turn(imported), max_offsets) == 0


def test_by_key_the_partitions_drift_apart_and_pageviews_are_late(imported: Recorder) -> None:
    """One crawler with 20,000 requests in an hour fills one partition: the others run ahead of it by hours."""
    crawled = Recorder()
    spare = json.dumps(imported.pageviews[700])
    crawled.messages = sorted([*imported.messages, *[(b"crawler", spare.encode())] * 20_000], key=when)
    crawled.send_heartbeats(imported.heartbeats[0])
    assert late_in_batches(by_key(crawled), 1000) > 500
    assert late_in_batches(in_turn(crawled), 1000) == 0


def when(message: tuple[bytes | None, bytes]) -> str:
    return str(json.loads(message[1])["timestamp"])


def times(recorder: Recorder) -> list[int]:
    return [read_time(pageview["timestamp"]) for pageview in recorder.pageviews]


def in_turn(recorder: Recorder) -> list[list[int]]:
    return [times(recorder)[start::3] + [recorder.heartbeats[0]] for start in range(3)]


def by_key(recorder: Recorder) -> list[list[int]]:
    queues: list[list[int]] = [[], [], []]
    for (key, _), at_ms in zip(recorder.messages, times(recorder), strict=True):
        queues[zlib.crc32(key or b"") % 3].append(at_ms)
    return [[*queue, recorder.heartbeats[0]] for queue in queues]


def late_in_batches(partitions: Sequence[Sequence[int]], max_offsets: int) -> int:
    """How many of the event times a stream drops that takes `max_offsets` of them a batch.

    As Spark does it: the share of a partition is proportional to what it still holds; a batch drops what lies in
    windows that ended before the watermark of the batch before it.
    """
    taken = [0] * len(partitions)
    newest_ms, evicts_ms, drops_ms, late = 0, 0, 0, 0
    while any(taken[i] < len(partition) for i, partition in enumerate(partitions)):
        sizes = [len(partition) - taken[i] for i, partition in enumerate(partitions)]
        batch: list[int] = []
        for i, size in enumerate(sizes):
            share = max_offsets * size / sum(sizes)
            step = min(size, math.ceil(share) if share < 1 else math.floor(share))
            batch += partitions[i][taken[i] : taken[i] + step]
            taken[i] += step
        late += sum(at_ms // WINDOW_MS * WINDOW_MS + WINDOW_MS <= drops_ms for at_ms in batch)
        newest_ms = max([newest_ms, *batch])
        drops_ms, evicts_ms = evicts_ms, newest_ms - DELAY_MS
    return late


def test_the_rule_of_lateness_itself() -> None:
    """Three batches of one message: only the third one knows the watermark that the first one made."""
    hour = 3_600_000
    assert late_in_batches([[5 * hour, hour, hour]], 1) == 1
    assert late_in_batches([[5 * hour, hour, hour]], 3) == 0
