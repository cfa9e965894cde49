"""From messages to chunks of hits or of events, as far as they are plain; the others are handed on as they came.

Runs in Spark's Python workers, so nothing here knows Spark.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from streaming import chunks, events, plain
from streaming.packing import PACKED_BYTES, PACKED_ROWS, Batches
from streaming.worker import lighten_worker

MESSAGE = [("value", pa.binary()), ("partition", pa.int32()), ("offset", pa.int64()), ("timestamp", plain.TIME)]
READ = pa.schema([("packed", pa.struct(list(chunks.CHUNK))), *MESSAGE])
ARCHIVED = pa.schema([("packed", pa.struct(list(events.CHUNK))), *MESSAGE])

Divide = Callable[[pa.RecordBatch], tuple[pa.RecordBatch, pa.RecordBatch]]
Pack = Callable[[Sequence[pa.RecordBatch]], pa.RecordBatch]


def read_and_pack(window_s: int) -> Batches:
    """What turns messages into chunks of hits, as far as plain.read_hits reads them.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: READ: a chunk as `packed`, or a message that is not plain in the other columns
    """
    return _reader(plain.read_hits, lambda held: chunks.pack_hits(held, window_s * 1_000_000), READ)


def read_and_pack_events() -> Batches:
    """What turns messages into chunks of events, as far as plain.read_events reads them.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: ARCHIVED: a chunk as `packed`, or a message that is not plain in the other columns
    """
    return _reader(plain.read_events, events.pack, ARCHIVED)


def _reader(divide: Divide, pack: Pack, made: pa.Schema) -> Batches:
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lighten_worker()
        held: list[pa.RecordBatch] = []
        rest: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in batches:
            plain_ones, others = divide(batch)
            held.append(plain_ones)
            rest.append(others)
            rows, size = rows + batch.num_rows, size + plain_ones.nbytes + others.nbytes
            if rows >= PACKED_ROWS or size >= PACKED_BYTES:
                yield from _as_rows(pack(held), rest, made)
                held, rest, rows, size = [], [], 0, 0
        if rows:
            yield from _as_rows(pack(held), rest, made)

    return read


def _as_rows(packed: pa.RecordBatch, rest: Sequence[pa.RecordBatch], made: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Chunks and messages that are not plain, as rows of `made`."""
    kinds = list(made)[1:]
    yield pa.RecordBatch.from_arrays(
        [packed.to_struct_array(), *(pa.nulls(len(packed), field.type) for field in kinds)], schema=made
    )
    for batch in pa.Table.from_batches(rest).combine_chunks().to_batches():
        others = [batch.column(field.name).cast(field.type) for field in kinds]
        yield pa.RecordBatch.from_arrays([pa.nulls(len(batch), made[0].type), *others], schema=made)
