"""The latency bench: stages that add up, percentiles by rank."""

import pytest

from bench.end_to_end.run import spread, to_figures

EVENT = {"click": 1_000, "received": 1_020, "kafka": 1_025, "created": 31_000, "loaded": 32_500}
SESSION = {"ended": 60_000, "created": 290_000, "loaded": 291_000}


@pytest.mark.parametrize(
    ("times", "p50", "p99"), [(range(1, 101), 0.050, 0.099), (range(1, 201), 0.100, 0.198), ([5], 0.005, 0.005)]
)
def test_percentiles_are_by_nearest_rank(times, p50, p99):
    found = spread(reversed(list(times)))
    assert (found["p50_s"], found["p99_s"], found["most_s"]) == (p50, p99, max(times) / 1000)


def test_the_stages_of_one_pageview_add_up_to_the_whole():
    found = to_figures([EVENT], [SESSION])
    *stages, whole = [row["p50_s"] for name, row in found.items() if "window" not in name and "sessions" not in name]
    assert whole == 31.5 == pytest.approx(sum(stages))
    assert found["window's end to sessions row"]["p50_s"] == 231.0
