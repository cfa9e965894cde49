"""What became of a pageview that no session holds, by the batch records alone."""

import json

import pytest

from contract.names import record_name
from warehouse.records import BatchRecord, Fate, History, parse_record, read_last_records

MINUTE = 60_000
WINDOW_END = 30 * MINUTE
"""Events at minute 10 belong to the window from minute 0 to minute 30."""


def batch(batch_id, start, end, *, late_watermark, watermark, query="q"):
    return BatchRecord(
        query_id=query, batch_id=batch_id, watermark_ms=watermark, late_watermark_ms=late_watermark, window_s=1800,
        offsets={"webevent": {0: (start, end)}}, object_name=None,
    )  # fmt: skip


def fate(*records, offset=5):
    return History(records).fate("webevent", 0, offset, 10 * MINUTE)


@pytest.mark.parametrize(
    ("late_watermark", "watermark", "expected"),
    [
        pytest.param(WINDOW_END, WINDOW_END, Fate.LATE, id="the watermark stood at the window's end when it was read"),
        pytest.param(WINDOW_END - 1, WINDOW_END, Fate.LOST, id="it was read in time and the window is closed"),
        pytest.param(WINDOW_END - 1, WINDOW_END - 1, Fate.OPEN, id="the window is not closed yet"),
        pytest.param(0, 0, Fate.OPEN, id="the first batch has no watermark"),
    ],
)
def test_fate_in_the_last_batch(late_watermark, watermark, expected):
    assert fate(batch(0, 0, 9, late_watermark=late_watermark, watermark=watermark)) is expected


def test_a_window_that_a_later_batch_closed_should_have_held_it():
    first = batch(0, 0, 9, late_watermark=0, watermark=0)
    assert fate(first, batch(1, 9, 9, late_watermark=0, watermark=WINDOW_END)) is Fate.LOST


def test_a_message_that_no_batch_has_read_is_open():
    assert fate(batch(0, 0, 5, late_watermark=WINDOW_END, watermark=WINDOW_END), offset=5) is Fate.OPEN


def test_the_first_and_last_offset_of_a_batch_are_its_own():
    record = batch(0, 3, 5, late_watermark=WINDOW_END, watermark=WINDOW_END)
    assert [fate(record, offset=offset) for offset in (2, 3, 4, 5)] == [Fate.OPEN, Fate.LATE, Fate.LATE, Fate.OPEN]


def test_where_two_queries_read_it_the_worst_fate_counts():
    late = batch(0, 0, 9, late_watermark=WINDOW_END, watermark=WINDOW_END, query="old")
    lost = batch(0, 0, 9, late_watermark=0, watermark=WINDOW_END, query="new")
    assert fate(late, lost) is Fate.LOST


def test_another_partition_is_another_story():
    record = batch(0, 0, 9, late_watermark=WINDOW_END, watermark=WINDOW_END)
    assert History([record]).fate("webevent", 1, 5, 10 * MINUTE) is Fate.OPEN


RECORD = {
    "queryId": "q", "batchId": 7, "watermarkMs": 2, "lateWatermarkMs": 1, "offsets": {"webevent": {"0": [3, 5]}},
    "object": None, "rows": 0, "pageviews": 0, "window_s": 1800, "delay_s": 200,
}  # fmt: skip


def test_a_record_is_read():
    record = parse_record(json.dumps(RECORD).encode())
    assert (record.batch_id, record.offsets, record.late_watermark_ms) == (7, {"webevent": {0: (3, 5)}}, 1)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"queryId": "q"}', json.dumps(RECORD).encode()[:-9]])
def test_no_record(content):
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_record(content)


@pytest.mark.stack
def test_the_last_record_of_each_query_is_the_one_with_the_highest_number(room):
    for query, batch_id in (("q", 9), ("q", 10), ("r", 2), ("q", 8)):
        fields = {**RECORD, "queryId": query, "batchId": batch_id}
        room.bucket.blob(record_name(query, batch_id)).upload_from_string(json.dumps(fields))
    assert [(each.query_id, each.batch_id) for each in read_last_records(room.bucket)] == [("q", 10), ("r", 2)]
