"""The guard of the job's speed: Python's steps beside the limit program's loop."""

import json
import warnings
from pathlib import Path

import pytest

from bench.job import reading as bench
from bench.job.topic import Expected, messages

RECORDED = json.loads(Path(bench.__file__).with_name("reading.json").read_text())


def test_every_step_has_every_pageview(tmp_path: Path) -> None:
    sent = list(messages(1, 9_000, Expected()))
    batches = list(bench.to_batches(sent))
    rows = [row for batch in bench.to_sessions(batches) for row in batch.to_pylist()]
    found = [row for batch in bench.to_events(batches) for row in batch.to_pylist()]
    plain = {row["eventId"] for row in found if row["eventId"]}
    poison = [row for row in found if row["eventId"] is None]
    assert poison and len(plain) + len(poison) == len(sent)
    assert sorted(event for row in rows for event in row["eventIds"]) == sorted(plain)
    partitions = bench.group(sent, tmp_path)
    held = [hit for each in partitions for groups in each.windows.values() for hits in groups.values() for hit in hits]
    assert {hit[-1] for hit in held} == plain


def test_a_step_that_became_worse_than_recorded_is_told(tmp_path: Path) -> None:
    """A warning, no failure: what it measures is this machine, too."""
    ratios = bench.to_ratios(bench.measure(list(messages(1, 20_000, Expected())), 25, tmp_path))
    assert ratios.keys() == RECORDED.keys()
    for line in bench.worse(ratios, RECORDED):
        warnings.warn(line, stacklevel=1)


@pytest.mark.parametrize(("ratio", "told"), [(1.24, 0), (1.26, 1), (0.5, 0)])
def test_worse_is_by_more_than_a_quarter(ratio: float, told: int) -> None:
    assert len(bench.worse({"read": ratio, "new": 9.0}, {"read": 1.0})) == told
