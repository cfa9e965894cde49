"""Events as columns: packed into chunks for the shuffle, and made into rows where they are written.

Runs in Spark's Python workers, so nothing here knows Spark. A shuffle of chunks costs a fraction of one of rows, and
only the task that writes makes rows of them.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from streaming import plain
from streaming.packing import compress, decompress, parts
from streaming.worker import lighten_worker

CHUNK_BYTES = 1 << 18
"""Of the events in one chunk, before compression: the task that writes is handed up to 2,000 chunks at a time."""
CHUNK = pa.schema([("events", pa.binary()), ("count", pa.int64())])
ROW = pa.schema([*plain.EVENTS, ("kafkaTopic", pa.string())])


def pack(held: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of plain.EVENTS as rows of CHUNK: events, and how many they are."""
    table = pa.Table.from_batches(held, plain.EVENTS)
    rows = [(compress(part), part.num_rows) for part in parts(table, CHUNK_BYTES)]
    columns = list(zip(*rows, strict=True)) or [()] * len(CHUNK)
    return pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, CHUNK, strict=True)], schema=CHUNK
    )


def unpack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The contract's event rows, but for batchKey, of chunks and of events that are none of a chunk.

    In:  packed CHUNK, and the columns of ROW, of which a chunk has kafkaTopic only
    Out: ROW
    """
    lighten_worker()
    for batch in batches:
        packed, topics = batch.column("packed"), batch.column("kafkaTopic")
        for index in np.flatnonzero(packed.is_valid()):
            for part in decompress(packed.field("events")[index].as_buffer()).to_batches():
                yield pa.RecordBatch.from_arrays([*part.columns, pa.repeat(topics[index], len(part))], schema=ROW)
        others = batch.filter(packed.is_null())
        yield pa.RecordBatch.from_arrays([others.column(field.name).cast(field.type) for field in ROW], schema=ROW)
