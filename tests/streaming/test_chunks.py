"""Packing and unpacking without Spark: whatever is read together, the rows are those of the plain way."""

import gc
import importlib
import random
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streaming import chunks, worker

WINDOW_S = 1800
WINDOW_US = WINDOW_S * 1_000_000
START_US = 1_431_856_800 * 1_000_000  # 2015-05-17 10:00:00 UTC
HITS = pa.schema(
    [
        ("packed", pa.struct(list(chunks.CHUNK))), ("kafkaPartition", pa.int64()), ("kafkaOffset", pa.int64()),
        ("uiud", pa.string()), ("sessionId", pa.string()), ("eventAt", chunks.TIME), ("eventId", pa.string()),
        ("pageUrl", pa.string()), ("referrer", pa.string()), ("landingPage", pa.string()), ("pageTitle", pa.string()),
        ("robot", pa.bool_()),
    ]
)  # fmt: skip
Hit = dict[str, Any]


def hit(offset: int, **fields: Any) -> Hit:
    """A pageview at 10:00:00 UTC, unless `fields` say otherwise; `at_s` counts from there."""
    at_s = fields.pop("at_s", 0)
    given = {
        "kafkaPartition": 3, "kafkaOffset": offset, "uiud": "u", "sessionId": "s",
        "eventAt": None if at_s is None else START_US + round(at_s * 1e6), "eventId": f"e{offset}", "pageUrl": "/",
        "referrer": "", "landingPage": "0", "pageTitle": "", "robot": False,
    }  # fmt: skip
    return {**given, **fields}


def one_bucket(number: int) -> str:
    """A visitor's name, whose bytes have the same sum for every number below 1,000."""
    return "".join(f"{digit}{9 - digit}" for digit in map(int, f"{number:03d}"))


def batches(hits: Sequence[Hit], size: int = 512) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(hits), size):
        yield pa.RecordBatch.from_pylist(hits[start : start + size], schema=HITS)


def pack(hits: Sequence[Hit], size: int = 512) -> list[dict[str, Any]]:
    return [row for batch in chunks.pack(WINDOW_S)(batches(hits, size)) for row in batch.to_pylist()]


def unpack(packed: Sequence[dict[str, Any]], size: int = 512) -> list[dict[str, Any]]:
    """Rows of packed chunks, as the state and the shuffle lay them out: by window and bucket."""
    closed = [
        {"window_start": chunk["eventAt"].timestamp() // WINDOW_S * WINDOW_S * 1e6, "bucket": chunk["bucket"],
         "chunks": [chunk["hits"]]}
        for chunk in packed if chunk["hits"] is not None
    ]  # fmt: skip
    closed.sort(key=lambda row: (row["window_start"], row["bucket"]))
    columns = [
        pa.array([int(row["window_start"]) for row in closed], pa.int64()).cast(chunks.TIME),
        pa.array([row["bucket"] for row in closed], pa.int16()),
        pa.array([row["chunks"] for row in closed], pa.list_(pa.binary())),
    ]
    table = pa.table(columns, names=["window_start", "bucket", "chunks"])
    return [row for batch in chunks.unpack(WINDOW_S)(table.to_batches(size)) for row in batch.to_pylist()]


def micros(row: dict[str, Any], name: str) -> int:
    return round(row[name].timestamp() * 1e6)


def plain(hits: Sequence[Hit]) -> dict[tuple[str, str, int], list[tuple[Any, ...]]]:
    """(uiud, sessionId, window_start) -> the hits that count, in order, without any of the code tested."""
    groups: defaultdict[tuple[str, str, int], list[tuple[Any, ...]]] = defaultdict(list)
    for each in hits:
        if each["eventAt"] is not None and each["pageUrl"] is not None:
            start = each["eventAt"] // WINDOW_US * WINDOW_US
            groups[each["uiud"], each["sessionId"], start].append(tuple(each[name] for name in chunks.ORDER))
    for key, group in groups.items():
        seen: set[str] = set()
        groups[key] = [one for one in sorted(group) if not (one[1] in seen or seen.add(one[1]))]  # type: ignore[func-returns-value]
    return dict(groups)


def as_plain(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str, int], list[tuple[Any, ...]]]:
    """The same of rows, but for `robot`, of which a row has one for all."""
    columns = ("sessionTimestamps", "eventIds", "Pages", "referrer", "LandingPageCode", "pageTitles")
    told = {}
    for row in rows:
        key = row["uiud"], row["sessionId"], micros(row, "window_start")
        assert key not in told, "two rows of one session and window"
        told[key] = [
            (round(at.timestamp() * 1e6), *texts)
            for at, *texts in zip(*[row[name] for name in columns], strict=True)
        ]  # fmt: skip
    return told


def some_hits(seed: int, count: int) -> list[Hit]:
    chance = random.Random(seed)
    return [
        hit(
            offset,
            uiud=f"u{chance.randrange(40)}",
            sessionId=f"s{chance.randrange(2)}",
            at_s=chance.choice([None, *(chance.randrange(5400) for _ in range(30))]),
            eventId=f"e{chance.randrange(count)}",
            pageUrl=chance.choice([None, *(f"/größe/{chance.randrange(9)}" for _ in range(20))]),
            referrer=chance.choice(["", "direct", "\U0001f600", "\x00"]),
            landingPage=chance.choice("01"),
            robot=chance.random() < 0.1,
        )
        for offset in range(count)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_rows_are_those_of_the_plain_way_however_the_hits_were_read(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    hits = some_hits(seed, 800)
    for limit in ("PACKED_ROWS", "CHUNK_BYTES", "BATCH_BYTES"):
        monkeypatch.setattr(chunks, limit, chance.choice([1, 500, 3_000, 1 << 30]))
    monkeypatch.setattr(chunks, "UNPACKED_BYTES", chance.choice([20_000, 1 << 30]))
    packed = pack(hits, size=chance.choice([1, 7, 512]))
    rows = unpack(packed, size=chance.choice([1, 5, 512]))
    wanted = plain(hits)
    assert as_plain(rows) == {key: [one[:-1] for one in group] for key, group in wanted.items()}
    for row in rows:
        group = wanted[row["uiud"], row["sessionId"], micros(row, "window_start")]
        first, last = group[0], group[-1]
        landed = [one[3] for one in group if one[4] == "1"]
        assert row["Pageviews"] == len(group)
        assert row["robot"] == any(one[6] for one in group)
        assert row["landingReferrer"] == (landed[0] if landed else None)
        assert (row["entryPage"], row["exitPage"]) == (first[2], last[2])
        assert (micros(row, "firstSeen"), micros(row, "lastSeen")) == (first[0], last[0])
        assert micros(row, "window_end") == micros(row, "window_start") + WINDOW_US


def test_limits_cut_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [hit(offset, uiud=one_bucket(offset), pageUrl="/" * 1000 + str(offset)) for offset in range(600)]
    assert len(pack(hits, size=100)) == 1
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 100_000)
    packed = pack(hits, size=100)
    assert len(packed) == 7
    assert {chunk["origin"] for chunk in packed} == {"3-0"}
    sizes: list[int] = []
    rows = chunks._rows

    def watched(table: pa.Table, *rest: int) -> Iterator[pa.RecordBatch]:
        sizes.append(table.num_rows)
        return rows(table, *rest)

    monkeypatch.setattr(chunks, "_rows", watched)
    monkeypatch.setattr(chunks, "UNPACKED_BYTES", 200_000)
    assert len(unpack(packed)) == 600
    assert len(sizes) == 4
    assert max(sizes) < 300, "a bucket that is too large is taken in parts"


def test_batches_of_rows_hold_so_much_text_or_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [hit(offset, uiud=one_bucket(offset // 10), pageUrl="/" * 100) for offset in range(100)]
    monkeypatch.setattr(chunks, "BATCH_BYTES", 2_500)
    (chunk,) = pack(hits)
    made = list(chunks._unpack([pa.py_buffer(chunk["hits"])], START_US, WINDOW_US))
    assert [batch.num_rows for batch in made] == [2, 2, 3, 2, 1]
    monkeypatch.setattr(chunks, "BATCH_BYTES", 1)
    assert len(list(chunks._unpack([pa.py_buffer(chunk["hits"])], START_US, WINDOW_US))) == 10


@pytest.mark.parametrize("last_us", [0, 1_799_999_000, 2**40])
@pytest.mark.parametrize("last_key", [0, 5_000, 2**23 - 1, 2**23, 2**62])
def test_hits_are_in_order_however_many_bits_session_and_time_take(last_us: int, last_key: int) -> None:
    source = random.Random(1)
    keys = [0, last_key, *(source.randint(0, last_key) for _ in range(500))]
    times = [START_US, START_US + last_us, *(START_US + source.randint(0, last_us) for _ in range(500))]
    source.shuffle(times)
    order = chunks._sorted_by(np.array(keys), np.array(times)).tolist()
    assert sorted(order) == list(range(len(keys)))
    assert [(keys[at], times[at]) for at in order] == sorted(zip(keys, times, strict=True))


def test_what_is_no_pageview_moves_the_watermark_only() -> None:
    hits = [hit(0, pageUrl=None, uiud=None, at_s=1), hit(1, at_s=None), hit(2, at_s=None, pageUrl=None)]
    (chunk,) = pack(hits)
    assert (chunk["hits"], chunk["bucket"]) == (None, 0)
    assert micros(chunk, "eventAt") == START_US + 1_000_000


def test_refused_messages_alone_and_nothing_at_all_make_no_chunk() -> None:
    assert pack([hit(0, at_s=None)]) == []
    assert pack([]) == []
    assert unpack([]) == []


def test_a_chunk_is_named_by_the_first_hit_read_with_it_and_has_one_window_and_bucket() -> None:
    hits = [hit(7, at_s=None), hit(8), hit(9, at_s=1799.999), hit(10, at_s=1800), hit(11, at_s=1800, uiud="v")]
    packed = pack(hits)
    assert [(micros(chunk, "eventAt") - START_US, chunk["bucket"], chunk["origin"]) for chunk in packed] == [
        (1_799_999_000, 5, "3-8"), (1_800_000_000, 5, "3-8"), (1_800_000_000, 6, "3-8"),
    ]  # fmt: skip
    assert pack(hits) == packed, "read again, it is the same"


def test_repeated_texts_are_kept_once_a_chunk() -> None:
    page = "".join(random.Random(1).choices("abcdefghijklmnop", k=2_000))
    one = pack([hit(0, pageUrl=page, eventId="e")])
    many = pack([hit(offset, pageUrl=page, eventId="e") for offset in range(900)])
    assert len(many[0]["hits"]) < 3 * len(one[0]["hits"])


@pytest.mark.parametrize("start", [0, 1, 2, 5])
def test_a_bucket_is_the_sum_of_a_names_bytes(start: int) -> None:
    names = ["ab", "", None, "\u00fc" * 90, None, "u", ""]
    wanted = [sum((name or "").encode()) % chunks.BUCKETS for name in names]
    assert chunks._buckets(pa.array(names, pa.string())[start:]).tolist() == wanted[start:]


def test_a_worker_lists_no_archive_again_for_the_next_task_and_seldom_looks_for_garbage(tmp_path, monkeypatch) -> None:
    archive = tmp_path / "code.zip"
    names = [f"in_archive_{number}" for number in range(3)]
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(f"{name}.py", "")
    monkeypatch.syspath_prepend(str(archive))
    frozen: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(len(sys.modules)))
    before = gc.get_threshold()
    try:
        for name in names[:2]:
            importlib.import_module(name)
            assert str(archive) in sys.path_importer_cache
            worker.lighten_worker()
            assert str(archive) not in sys.path_importer_cache
            worker.lighten_worker()
        assert gc.get_threshold()[0] == worker.MADE_BETWEEN_LOOKS
    finally:
        gc.set_threshold(*before)
    assert len(frozen) == 2, "once for what is imported, however many tasks follow"
    importlib.import_module(names[2])
