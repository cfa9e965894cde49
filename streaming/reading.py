"""From messages to chunks, as far as they are plain; the others are handed on as they came.

Runs in Spark's Python workers, so nothing here knows Spark.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from streaming import chunks, plain
from streaming.worker import lighten_worker

READ = pa.schema(
    [
        ("packed", pa.struct(list(chunks.CHUNK))), ("value", pa.binary()), ("partition", pa.int32()),
        ("offset", pa.int64()), ("timestamp", chunks.TIME),
    ]
)  # fmt: skip


def read_and_pack(window_s: int) -> chunks.Batches:
    """What turns messages into chunks, as far as plain.read reads them.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: READ: a chunk as `packed`, or a message that is not plain in the other columns
    """

    def packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lighten_worker()
        held: list[pa.RecordBatch] = []
        rest: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in batches:
            hits, others = plain.read(batch)
            held.append(hits)
            rest.append(others)
            rows, size = rows + batch.num_rows, size + hits.nbytes + others.nbytes
            if rows >= chunks.PACKED_ROWS or size >= chunks.PACKED_BYTES:
                yield from _read_rows(chunks.pack_hits(held, window_s * 1_000_000), rest)
                held, rest, rows, size = [], [], 0, 0
        if rows:
            yield from _read_rows(chunks.pack_hits(held, window_s * 1_000_000), rest)

    return packed


def _read_rows(made: pa.RecordBatch, rest: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Chunks and messages that are not plain, as rows of READ."""
    packed = made.to_struct_array()
    yield pa.RecordBatch.from_arrays(
        [packed, *(pa.nulls(len(packed), field.type) for field in list(READ)[1:])], schema=READ
    )
    for batch in pa.Table.from_batches(rest).combine_chunks().to_batches():
        others = [batch.column(field.name).cast(field.type) for field in list(READ)[1:]]
        yield pa.RecordBatch.from_arrays([pa.nulls(len(batch), READ[0].type), *others], schema=READ)
