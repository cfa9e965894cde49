"""What the newest batch records say of a period: how long its windows are, and up to when they are closed."""

from datetime import date

import pytest

from contract.failures import ConfigError
from warehouse.period import Period, watermarks, window_length
from warehouse.records import BatchRecord


def last(query: str, *topics: str, watermark_ms: int = 0, window_s: int = 1800) -> BatchRecord:
    return BatchRecord(
        query_id=query, batch_id=7, watermark_ms=watermark_ms, late_watermark_ms=0, window_s=window_s,
        offsets={topic: {0: (5, 5)} for topic in topics}, object_name=None,
    )  # fmt: skip


def test_of_the_queries_that_read_a_topic_the_newest_watermark_counts():
    records = [last("a", "t", "other", watermark_ms=9), last("b", "t", watermark_ms=10), last("c", "t", watermark_ms=5)]
    assert watermarks(records) == {"t": 10, "other": 9}


RECORDS = [last("a", "t"), last("b", "u", window_s=600), last("c", "w", window_s=60)]


@pytest.mark.parametrize(
    ("topics", "wanted", "length"),
    [
        pytest.param({"t"}, None, 1800, id="the topic's own"),
        pytest.param({"u", "unread"}, None, 600, id="a topic that no batch has read says nothing"),
        pytest.param({"t", "u"}, 600, 600, id="the one that is named"),
        pytest.param(set(), 60, 60, id="the one that is named, for no topic"),
    ],
)
def test_the_length_of_the_windows_is_that_of_the_periods_topics(topics, wanted, length):
    assert window_length(RECORDS, topics, wanted) == length


@pytest.mark.parametrize(
    ("records", "topics", "said"),
    [
        pytest.param(RECORDS, {"t", "u"}, r"several lengths \(600, 1800 s\)", id="two lengths"),
        pytest.param(RECORDS, {"unread"}, r"several lengths \(60, 600, 1800 s\)", id="no batch has read the topic"),
        pytest.param([], {"t"}, "no batch records", id="no records"),
    ],
)
def test_a_length_that_is_not_known_is_never_assumed(records, topics, said):
    with pytest.raises(ConfigError, match=said):
        window_length(records, topics, None)


def test_a_topics_name_is_quoted():
    period = Period(date(2026, 1, 2), date(2026, 1, 2), 1800, {"it's\\": 0})
    assert r"kafkaTopic = 'it\'s\\'" in period.open_windows("d")
