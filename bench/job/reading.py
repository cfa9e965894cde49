"""What Python takes of the job, step by step, beside the limit program's loop over the same messages.

    python -m bench.job.reading [--pageviews 20000] [--rounds 25] [--json FILE] [--against bench/job/reading.json]

One process, no Kafka and no Spark, so that a ratio differs little from run to run: the guard that runs with the tests.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
from rich.progress import track
from rich.table import Table

from bench.console import make_console
from bench.job.limit import Partition
from bench.job.report import WORSE
from bench.job.topic import PARTITIONS, Expected, Message, messages
from streaming import chunks, events, plain, reading

LIMIT = "limit: orjson and a dict of lists"
WINDOW_S = 1800
BATCH = 2000
"""Messages that Spark hands over at a time (streaming.session)."""
MESSAGES = pa.schema(reading.MESSAGE)
console = make_console()


def main() -> int:
    """Measure, print and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pageviews", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", type=Path, help="file for the ratios, for machines")
    parser.add_argument("--against", type=Path, help="ratios of an earlier --json; warns of each that has become worse")
    given = parser.parse_args()
    sent = list(messages(1, given.pageviews, Expected()))
    with tempfile.TemporaryDirectory() as out:
        found = measure(sent, given.rounds, Path(out))
    console.print(to_table(found))
    ratios = to_ratios(found)
    if given.json is not None:
        given.json.write_text(json.dumps(ratios, indent=1) + "\n")
    if given.against is not None:
        for line in worse(ratios, json.loads(given.against.read_text())):
            console.print(f"[yellow]warning:[/] {line}")
    return 0


def measure(sent: Sequence[Message], rounds: int, out: Path) -> dict[str, list[float]]:
    """Step -> microseconds of processor time a message, round by round."""
    batches = list(to_batches(sent))
    steps: Mapping[str, Callable[[], object]] = {
        "sessions: read, pack, make rows": lambda: drop(to_sessions(batches)),
        "archive: read, pack, unpack": lambda: drop(to_events(batches)),
        LIMIT: lambda: group(sent, out),
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in track(range(rounds + 1), "rounds", console=console, transient=True):
        for name, step in steps.items():
            began = time.process_time()
            step()
            if number:
                found[name].append((time.process_time() - began) / len(sent) * 1e6)
    return found


def to_batches(sent: Sequence[Message]) -> Iterator[pa.RecordBatch]:
    """The messages as Spark hands them to Python."""
    for start in range(0, len(sent), BATCH):
        here = sent[start : start + BATCH]
        columns = [
            [message.value for message in here], [message.partition for message in here],
            range(start, start + len(here)), [message.at_ms * 1000 for message in here],
        ]  # fmt: skip
        arrays = [pa.array(list(column), field.type) for column, field in zip(columns, MESSAGES, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=MESSAGES)


def to_sessions(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Session rows of the messages, whose chunks come back from the state a row a window and bucket, in order."""
    together: dict[tuple[int, int], list[bytes]] = {}
    for batch in reading.read_and_pack(WINDOW_S)(batches):
        for chunk in filter(None, batch["packed"].to_pylist()):
            start_s = int(chunk["eventAt"].timestamp()) // WINDOW_S * WINDOW_S
            together.setdefault((start_s * 1_000_000, chunk["bucket"]), []).append(chunk["hits"])
    keys = sorted(together)
    columns = [
        pa.array([start_us for start_us, _ in keys]).cast(plain.TIME), pa.array([bucket for _, bucket in keys]),
        pa.array([together[key] for key in keys], pa.list_(pa.binary())),
    ]  # fmt: skip
    return chunks.unpack(WINDOW_S)([pa.record_batch(columns, names=["window_start", "bucket", "chunks"])])


def to_events(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Event rows of the messages, and an empty one for each that is not plain."""
    for batch in reading.read_and_pack_events()(batches):
        columns = [pa.nulls(len(batch), field.type) for field in plain.EVENTS]
        topic = pa.repeat(pa.scalar("topic"), len(batch))
        packed = pa.RecordBatch.from_arrays([batch["packed"], *columns, topic], names=["packed", *events.ROW.names])
        yield from events.unpack([packed])


def group(sent: Sequence[Message], out: Path) -> list[Partition]:
    """The limit program's loop, without its reading of Kafka and its writing."""
    gc.disable()
    partitions = [Partition(number, out) for number in range(PARTITIONS)]
    for message in sent:
        try:
            partitions[message.partition].add(orjson.loads(message.value))
        except (KeyError, TypeError, ValueError):
            continue
    gc.enable()
    return partitions


def drop(batches: Iterator[pa.RecordBatch]) -> None:
    """Make all and keep none."""
    for _ in batches:
        pass


def to_ratios(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Step -> its cost against the limit's, each in its best round: what disturbs a round makes it longer only."""
    return {name: round(min(values) / min(found[LIMIT]), 3) for name, values in found.items() if name != LIMIT}


def worse(now: Mapping[str, float], recorded: Mapping[str, float]) -> list[str]:
    """A sentence for each step that has become worse by more than WORSE."""
    return [
        f"{name} takes {ratio:.2f}x the processor time of the limit's loop, recorded is {recorded[name]:.2f}x"
        for name, ratio in now.items()
        if ratio > recorded.get(name, ratio) * WORSE
    ]


def to_table(found: Mapping[str, Sequence[float]]) -> Table:
    """A line a step, of its best round."""
    table = Table(title="Python's part of the job, a message")
    for title in ("step", "µs of the best round", "of the limit's"):
        table.add_column(title, justify="left" if title == "step" else "right", no_wrap=True)
    ratios = to_ratios(found)
    for name, values in found.items():
        ratio = f"{ratios[name]:.2f}x" if name in ratios else ""
        table.add_row(name, f"{min(values):.2f}", ratio)
    return table


if __name__ == "__main__":
    sys.exit(main())
