"""Rows as one value: a compressed Arrow stream.

Runs in Spark's Python workers, so nothing here knows Spark.
"""

import struct
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

PACKED_ROWS, PACKED_BYTES = 200_000, 64 << 20
"""A worker packs what it has read when it has so much of it."""
CHUNK_BYTES = 1 << 20
"""Of the rows in one chunk, before compression: what Spark hands to Python at a time stays far below Arrow's 2 GB."""

CODEC, LENGTH = pa.Codec("zstd", compression_level=1), struct.Struct("<q")

Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def parts(rows: pa.Table, size: int) -> Iterator[pa.RecordBatch]:
    """The rows in parts of some `size` bytes."""
    count = max(1, rows.num_rows * size // max(1, rows.nbytes))
    for start in range(0, rows.num_rows, count):
        yield from rows.slice(start, count).combine_chunks().to_batches()


def compress(rows: pa.RecordBatch) -> bytes:
    """Compressed as one piece: column by column would take longer. The stream's length stands before it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    plain = sink.getvalue()
    compressed: bytes = CODEC.compress(plain, asbytes=True)
    return LENGTH.pack(plain.size) + compressed


def decompress(chunk: pa.Buffer) -> pa.Table:
    """What compress was given."""
    plain = CODEC.decompress(chunk.slice(LENGTH.size), length(chunk))
    return pa.ipc.open_stream(plain).read_all()


def length(chunk: pa.Buffer) -> int:
    """Bytes of the stream, before compression."""
    return int(LENGTH.unpack(chunk.slice(0, LENGTH.size))[0])
