"""What a pageview takes in the tables, and that the plan reckons with it."""

import pyarrow as pa
import pytest

from bench.job.sizes import logical_bytes, measure, state_bytes
from bench.job.topic import Expected, messages
from warehouse import costs

COLUMNS = {
    "texts": (pa.array(["", "a", "ü", None]), 2 + 3 + 4),
    "numbers": (pa.array([1, None, 2**40]), 16),
    "times": (pa.array([0, None], pa.timestamp("us", "UTC")), 8),
    "booleans": (pa.array([True, False, None]), 2),
    "arrays": (pa.array([["a", "bc"], [], [""]], pa.list_(pa.string())), 3 + 4 + 2),
    "nothing": (pa.array([], pa.string()), 0),
}


@pytest.mark.parametrize(("column", "size"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_takes_what_bigquery_counts(column: pa.Array, size: int) -> None:
    assert logical_bytes(pa.chunked_array([column])) == size


def test_a_type_of_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match="no size is known of double"):
        logical_bytes(pa.chunked_array([pa.array([1.5])]))


def test_the_plan_reckons_with_the_benchmarks_pageviews() -> None:
    sent = list(messages(1, 40_000, Expected()))
    found = measure(sent)
    assert found["events"].row == pytest.approx(costs.EVENTS_TABLE_BYTES, rel=0.05)
    assert found["sessions"].row == pytest.approx(costs.SESSIONS_ROW_BYTES, rel=0.05)
    assert found["sessions"].pageview == pytest.approx(costs.SESSIONS_HIT_BYTES, rel=0.05)
    assert state_bytes(sent, 40_000) == pytest.approx(costs.STATE_BYTES, rel=0.1)
