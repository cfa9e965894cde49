"""Hits as columns: packed into chunks for the state to keep, and made into session rows when their window closes.

Runs in Spark's Python workers, so nothing here knows Spark. A chunk is what one task read of one window and bucket, as
a compressed Arrow stream: the state holds a few large values in place of a list a session, writes each once, and no
list is taken apart and put together again for every hit that is added to it.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming import plain
from streaming.packing import CHUNK_BYTES, PACKED_BYTES, PACKED_ROWS, Batches, compress, decompress, length, parts
from streaming.worker import lighten_worker

BUCKETS = 16
"""Parts that visitors are divided into, by hash; one at a time is unpacked. The state depends on it."""

UNPACKED_BYTES = 256 << 20
"""A bucket that holds more is made into rows in several turns, each for a part of its visitors."""
BATCH_BYTES = 16 << 20
"""Of the texts in one batch of rows."""

TIME = plain.TIME
TEXTS = pa.list_(pa.string())
REPEATED = ("uiud", "sessionId", "pageUrl", "referrer", "landingPage", "pageTitle")
"""Columns whose values come again and again: each is kept once a chunk."""
HIT = ("uiud", "sessionId", "eventAt", "eventId", "pageUrl", "referrer", "landingPage", "pageTitle", "robot")
ORDER = ("eventAt", "eventId", "pageUrl", "referrer", "landingPage", "pageTitle", "robot")

CHUNK = pa.schema([("eventAt", TIME), ("bucket", pa.int16()), ("origin", pa.string()), ("hits", pa.binary())])
ROW = pa.schema(
    [
        ("uiud", pa.string()), ("sessionId", pa.string()), ("window_start", TIME), ("window_end", TIME),
        ("Pages", TEXTS), ("referrer", TEXTS), ("LandingPageCode", TEXTS), ("sessionTimestamps", pa.list_(TIME)),
        ("pageTitles", TEXTS), ("eventIds", TEXTS), ("Pageviews", pa.int64()), ("firstSeen", TIME), ("lastSeen", TIME),
        ("entryPage", pa.string()), ("exitPage", pa.string()), ("landingReferrer", pa.string()), ("robot", pa.bool_()),
        ("correction", pa.int64()),
    ]
)  # fmt: skip


def pack(window_s: int) -> Batches:
    """What turns hits into chunks, beside those that are packed.

    In:  the columns of transform.to_hits. pageUrl is null for what moves the watermark and is in no session; rows
         without eventAt are dropped
    Out: CHUNK: eventAt, the newest in the chunk; bucket; origin, the Kafka partition and offset of the first hit read
         with it, the same whenever these rows are read again; hits: null where none is a pageview
    """

    def packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lighten_worker()
        held: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in batches:
            is_packed = batch.column("packed").is_valid()
            yield pa.RecordBatch.from_arrays(batch.column("packed").filter(is_packed).flatten(), schema=CHUNK)
            others = batch.filter(pc.invert(is_packed))
            held.append(others)
            rows, size = rows + others.num_rows, size + others.nbytes
            if rows >= PACKED_ROWS or size >= PACKED_BYTES:
                yield pack_hits(held, window_s * 1_000_000)
                held, rows, size = [], 0, 0
        if rows:
            yield pack_hits(held, window_s * 1_000_000)

    return packed


def unpack(window_s: int) -> Batches:
    """What turns the chunks of closed windows into rows.

    In:  window_start timestamp, bucket short, chunks array<binary>: rows of one window and bucket next to each other
    Out: ROW, the contract's session row without batchKey
    """

    def unpacked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lighten_worker()
        chunks: list[pa.Buffer] = []
        current = None
        for batch in batches:
            starts = _micros(batch.column("window_start"))
            buckets, lists = batch.column("bucket").to_numpy(), batch.column("chunks")
            for index in range(batch.num_rows):
                key = int(starts[index]), int(buckets[index])
                if current is not None and key != current:
                    yield from _unpack(chunks, current[0], window_s * 1_000_000)
                    chunks = []
                current = key
                chunks.extend(chunk.as_buffer() for chunk in lists[index].values)
        if current is not None:
            yield from _unpack(chunks, current[0], window_s * 1_000_000)

    return unpacked


def pack_hits(held: Sequence[pa.RecordBatch], window_us: int) -> pa.RecordBatch:
    """Batches of hits, with or without `packed`, as rows of CHUNK."""
    chunks: list[tuple[int, int, str, bytes | None]] = []
    if sum(batch.num_rows for batch in held):
        chunks.extend(_packed(pa.Table.from_batches(held), window_us))
    columns = list(zip(*chunks, strict=True)) or [()] * len(CHUNK)
    return pa.RecordBatch.from_arrays(
        [pa.array(values, pa.int64() if field.type == TIME else field.type).cast(field.type)
         for values, field in zip(columns, CHUNK, strict=True)],
        schema=CHUNK,
    )  # fmt: skip


def _packed(table: pa.Table, window_us: int) -> Iterator[tuple[int, int, str, bytes | None]]:
    timed = np.flatnonzero(table["eventAt"].is_valid().to_numpy())
    if not len(timed):
        return
    origin = f"{table['kafkaPartition'][timed[0]]}-{table['kafkaOffset'][timed[0]]}"
    at = _micros(table["eventAt"].fill_null(0))
    key = at // window_us * BUCKETS + _buckets(table["uiud"].combine_chunks())
    order = timed[np.argsort(_narrowed(key[timed]), kind="stable")]
    at, bounds = at[order], _bounds(key[order])
    sorted_hits = table.select(HIT).take(pa.array(order))
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        newest, bucket = int(at[start:end].max()), int(key[order[start]] % BUCKETS)
        hits = sorted_hits.slice(start, end - start)
        if hits["pageUrl"].null_count:
            hits = hits.filter(hits["pageUrl"].is_valid())
        yield from ((newest, bucket, origin, chunk) for chunk in _chunks(hits))


def _narrowed(key: Any) -> Any:
    """Numbers in the same order, in as few bits as they need: of 16 bits, numpy sorts by radix."""
    above = key - key.min()
    return above.astype(np.min_scalar_type(above.max()))


def _buckets(visitors: pa.StringArray) -> Any:
    """The bucket of each visitor: the sum of its name's bytes. Null is as ''."""
    bounds, content = plain.laid_out(visitors)
    named = np.diff(bounds) > 0
    # Sums run over at 256, a multiple of BUCKETS.
    sums = np.zeros(len(visitors), np.uint8)
    sums[named] = np.add.reduceat(content[: bounds[-1]], bounds[:-1][named], dtype=np.uint8)
    return sums.astype(np.int64) % BUCKETS


def _chunks(hits: pa.Table) -> Iterator[bytes | None]:
    if not hits.num_rows:
        yield None
        return
    for batch in parts(hits, CHUNK_BYTES):
        columns = [
            column.dictionary_encode() if name in REPEATED else column
            for name, column in zip(HIT, batch.columns, strict=True)
        ]
        yield compress(pa.RecordBatch.from_arrays(columns, names=HIT))


def _unpack(chunks: Sequence[pa.Buffer], start_us: int, window_us: int) -> Iterator[pa.RecordBatch]:
    """Rows of one window and bucket; a visitor's hits are all in one turn."""
    turns = 1 + sum(map(length, chunks)) // UNPACKED_BYTES
    for turn in range(turns):
        hits = pa.concat_tables([_of_turn(decompress(chunk), turn, turns) for chunk in chunks])
        if hits.num_rows:
            yield from _rows(hits.unify_dictionaries().combine_chunks(), start_us, window_us)


def _of_turn(hits: pa.Table, turn: int, turns: int) -> pa.Table:
    if turns == 1:
        return hits
    uiud = hits["uiud"].combine_chunks()
    wanted = np.array([zlib.crc32(visitor.as_buffer()) % turns == turn for visitor in uiud.dictionary], dtype=bool)
    return hits.filter(pa.array(wanted[uiud.indices.to_numpy()]))


def _rows(hits: pa.Table, start_us: int, window_us: int) -> Iterator[pa.RecordBatch]:
    order, first = _sorted_distinct(hits)
    hits = hits.take(pa.array(order)).combine_chunks()
    columns = {name: hits[name].chunk(0) for name in HIT}
    bounds = np.append(first, len(order))
    for begin, end in _batches(columns, bounds):
        here = {name: column.slice(bounds[begin], bounds[end] - bounds[begin]) for name, column in columns.items()}
        plain = {name: column.dictionary_decode() if name in REPEATED else column for name, column in here.items()}
        yield _batch(plain, bounds[begin : end + 1] - bounds[begin], start_us, window_us)


def _sorted_distinct(hits: pa.Table) -> tuple[Any, Any]:
    """Indices of the hits to keep, session by session in the rows' order, and where in them each session begins.

    Of hits with one eventId the earliest counts.
    """
    uiud, session = hits["uiud"].chunk(0), hits["sessionId"].chunk(0)
    key = uiud.indices.to_numpy().astype(np.int64) * len(session.dictionary) + session.indices.to_numpy()
    at = _micros(hits["eventAt"])
    order = _sorted_by(key, at)
    _order_ties(hits, key, at, order)
    number = np.cumsum(np.diff(key[order], prepend=key[order[:1]]) != 0)
    ids = hits["eventId"].chunk(0).dictionary_encode()
    if len(ids.dictionary) < len(ids):
        _, kept = np.unique(number * len(ids) + ids.indices.to_numpy()[order], return_index=True)
        kept.sort()
        order, number = order[kept], number[kept]
    return order, _bounds(number)[:-1]


def _sorted_by(key: Any, at: Any) -> Any:
    """Indices in the order of key, then at; equal ones in any order. One number of both is sorted faster than two."""
    later = at - at.min()
    span = int(later.max()) + 1
    if int(key.max()) + 1 > (2**63 - 1) // span:
        return np.lexsort((at, key))
    return np.argsort(key * span + later)


def _order_ties(hits: pa.Table, key: Any, at: Any, order: Any) -> None:
    """Put hits of one session and moment into the order of their other columns, in place."""
    same = (np.diff(key[order]) == 0) & (np.diff(at[order]) == 0)
    places = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if not len(places):
        return
    tied = hits.take(pa.array(order[places])).combine_chunks()
    columns = {name: tied[name].chunk(0) for name in ORDER}
    plain = {name: column.dictionary_decode() if name in REPEATED else column for name, column in columns.items()}
    plain["robot"] = plain["robot"].cast(pa.int8())
    table = pa.table({"key": key[order[places]], **plain})
    by = [(name, "ascending") for name in ("key", *ORDER)]
    order[places] = order[places][pc.sort_indices(table, sort_keys=by).to_numpy()]


def _batches(columns: dict[str, Any], bounds: Any) -> Iterator[tuple[int, int]]:
    """Ranges of sessions whose texts are BATCH_BYTES long, or one session that is longer."""
    lengths = np.zeros(bounds[-1], dtype=np.int64)
    for name in REPEATED[2:]:
        size = pc.binary_length(columns[name].dictionary).to_numpy()
        lengths += size[columns[name].indices.to_numpy()]
    turn = np.add.reduceat(lengths, bounds[:-1]).cumsum() // BATCH_BYTES
    cuts = _bounds(turn)
    yield from zip(cuts[:-1], cuts[1:], strict=True)


def _batch(hits: dict[str, Any], bounds: Any, start_us: int, window_us: int) -> pa.RecordBatch:
    """Rows of sessions that lie one behind the other, each from one of `bounds` to the next."""
    count, starts = bounds[-1], bounds[:-1]
    first, last = pa.array(starts), pa.array(bounds[1:] - 1)
    offsets = pa.array(bounds.astype(np.int32))
    landed = pc.equal(hits["landingPage"], "1").to_numpy(zero_copy_only=False)
    landing = np.minimum.reduceat(np.where(landed, np.arange(count), count), starts)
    nowhere = landing == count
    made = {
        "uiud": hits["uiud"].take(first),
        "sessionId": hits["sessionId"].take(first),
        "window_start": _repeat(start_us, len(starts)),
        "window_end": _repeat(start_us + window_us, len(starts)),
        "Pages": pa.ListArray.from_arrays(offsets, hits["pageUrl"]),
        "referrer": pa.ListArray.from_arrays(offsets, hits["referrer"]),
        "LandingPageCode": pa.ListArray.from_arrays(offsets, hits["landingPage"]),
        "sessionTimestamps": pa.ListArray.from_arrays(offsets, hits["eventAt"]),
        "pageTitles": pa.ListArray.from_arrays(offsets, hits["pageTitle"]),
        "eventIds": pa.ListArray.from_arrays(offsets, hits["eventId"]),
        "Pageviews": pa.array(np.diff(bounds)),
        "firstSeen": hits["eventAt"].take(first),
        "lastSeen": hits["eventAt"].take(last),
        "entryPage": hits["pageUrl"].take(first),
        "exitPage": hits["pageUrl"].take(last),
        "landingReferrer": hits["referrer"].take(pa.array(np.where(nowhere, 0, landing), mask=nowhere)),
        "robot": pa.array(np.logical_or.reduceat(hits["robot"].to_numpy(zero_copy_only=False), starts)),
        "correction": pa.array(np.zeros(len(starts), dtype=np.int64)),
    }
    return pa.RecordBatch.from_arrays([made[name] for name in ROW.names], schema=ROW)


def _bounds(values: Any) -> Any:
    """Where runs of equal values begin in a sorted array, and its end."""
    if not len(values):
        return np.zeros(1, dtype=np.int64)
    return np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1, [len(values)]))


def _micros(times: Any) -> Any:
    return times.cast(pa.int64()).to_numpy()


def _repeat(micros: int, count: int) -> pa.Array:
    return pa.array(np.full(count, micros)).cast(TIME)
