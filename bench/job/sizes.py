"""What a pageview takes in the tables, as BigQuery bills it, logical bytes by its sizes of types; and in the state.

    python -m bench.job.sizes [--pageviews 400000] [--per-session 2.8]

The rows are those that the job's Python steps make of the benchmark's messages, without Kafka and Spark. A row of
sessions has parts of its own and parts of each pageview in it, so what a pageview takes depends on how many there are.
The state's chunks take less a pageview, the more of them a task reads in a batch.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bench.console import make_console
from bench.job.reading import WINDOW_S, to_batches, to_events, to_sessions
from bench.job.topic import Expected, Message, messages
from contract.names import batch_key
from streaming import reading
from warehouse.costs import PAGEVIEWS_PER_SESSION

STRING_BYTES, NUMBER_BYTES, BOOLEAN_BYTES = 2, 8, 1
"""Of a text besides its UTF-8; of an INT64 or a TIMESTAMP; of a BOOL. An array takes what is in it, NULL nothing."""
A_TASK = (100, 1_000, 10_000, 50_000)
"""Pageviews that one task reads in a batch, for the state."""
BATCH_KEY = batch_key("00000000-0000-0000-0000-000000000000", 1)


@dataclass(frozen=True)
class Sizes:
    """Bytes of one row beside its arrays, and of what one pageview adds to them."""

    row: float
    pageview: float


def main() -> int:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pageviews", type=int, default=400_000)
    parser.add_argument("--per-session", type=float, default=PAGEVIEWS_PER_SESSION, help="pageviews in a session's row")
    given = parser.parse_args()
    sent = list(messages(1, given.pageviews, Expected()))
    found = measure(sent)
    events, sessions = found["events"], found["sessions"]
    console = make_console()
    console.print(f"events    {events.row:6.0f} bytes a pageview")
    console.print(
        f"sessions  {sessions.row / given.per_session + sessions.pageview:6.0f} bytes a pageview at "
        f"{given.per_session:g} in a row: {sessions.row:.0f} of the row, {sessions.pageview:.0f} of each pageview in it"
    )
    for pageviews in A_TASK:
        console.print(f"state     {state_bytes(sent, pageviews):6.0f} bytes a pageview, {pageviews:,} a task and batch")
    return 0


def state_bytes(sent: Sequence[Message], a_task: int) -> float:
    """Bytes of a pageview in the chunks of tasks that read so many messages each."""
    size = 0
    for start in range(0, len(sent), a_task):
        for batch in reading.read_and_pack(WINDOW_S)(to_batches(sent[start : start + a_task])):
            size += sum(len(chunk["hits"] or b"") for chunk in batch["packed"].drop_null().to_pylist())
    return size / len(sent)


def measure(sent: Sequence[Message]) -> Mapping[str, Sizes]:
    """Table -> sizes, of the rows of the plain messages among `sent`."""
    batches = list(to_batches(sent))
    return {"events": sizes(plain_rows(to_events(batches))), "sessions": sizes(to_sessions(batches))}


def plain_rows(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Without the empty rows of those that are not."""
    return (batch.filter(batch["eventId"].is_valid()) for batch in batches)


def sizes(batches: Iterable[pa.RecordBatch]) -> Sizes:
    """Of rows of a table, but for their batchKey, which all have."""
    table = pa.Table.from_batches(list(batches))
    arrays = [name for name in table.column_names if pa.types.is_list(table[name].type)]
    alone = sum(logical_bytes(table[name]) for name in table.column_names if name not in arrays)
    row = alone / len(table) + STRING_BYTES + len(BATCH_KEY)
    if not arrays:
        return Sizes(row, 0.0)
    pageviews = len(pc.list_flatten(table[arrays[0]]))
    return Sizes(row, sum(logical_bytes(table[name]) for name in arrays) / pageviews)


def logical_bytes(column: pa.ChunkedArray) -> int:
    """As BigQuery counts them. Raises TypeError for a type that no table of ours has."""
    kind = column.type
    if pa.types.is_list(kind):
        return logical_bytes(pc.list_flatten(column))
    there = len(column) - column.null_count
    if pa.types.is_string(kind):
        return STRING_BYTES * there + (pc.sum(pc.binary_length(column)).as_py() or 0)
    if pa.types.is_boolean(kind):
        return BOOLEAN_BYTES * there
    if pa.types.is_int64(kind) or pa.types.is_timestamp(kind):
        return NUMBER_BYTES * there
    raise TypeError(f"no size is known of {kind}")


if __name__ == "__main__":
    sys.exit(main())
