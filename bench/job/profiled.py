"""Where the stream's CPU time goes, part by part: a profile of its Java process, and the clocks of Python's workers.

    python -m bench.job.profiled --agent libasyncProfiler.so [--pageviews 8000000] [--warm-up 2000000] [--state DIR]
                                 [--max-offsets-per-trigger N] [--json FILE]

The sessions query as in `webevents bench job`, once on each of the two topics, with async-profiler's agent in the
Java process (its releases have libasyncProfiler.so; 3.0 was tried). What is told is the difference, in CPU-seconds per
million pageviews. What Python's share consists of is told by `webevents bench reading`.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.console import make_console
from bench.job.fill import fill, serving
from bench.job.measure import measure
from bench.job.programs import NO_ARCHIVE, Run, environment, ours
from contract.settings import number

INTERVAL_S = 0.005
STACKS = "stacks.txt"
PYTHON = "Python's workers"
REST = "the rest of Java"
PARTS: Mapping[str, Sequence[str]] = {
    "compile (HotSpot)": ("C2Compiler::", "C1_Compiler", "Compiler::compile_method", "CompileBroker"),
    "collect garbage": ("GangWorker", "PSMarkSweep", "ParallelScavenge", "WorkerThread::run", "VM_ParallelGC"),
    "read Kafka": ("KafkaDataConsumer", "KafkaBatchPartitionReader", "kafka/clients", "kafka/common"),
    "write Avro, with snappy": ("AvroSerializer", "AvroOutputWriter", "org/apache/avro", "Snappy"),
    "state: store and RocksDB": ("RocksDB", "rocksdb", "StateStore"),
    "hand messages and chunks to Python": ("ArrowWriter", "writeIteratorToStream", "WriterThread", "PythonArrowInput"),
    "take chunks and rows from Python": ("ArrowStreamReader", "PythonArrowOutput", "ArrowColumnVector",
                                         "ReaderIterator"),
    "state: aggregation": ("ObjectHash", "ObjectAggregation", "TypedImperative"),
    "shuffle of the chunks": ("ShuffleWriter", "ShuffleExternalSorter", "ShuffleBlockFetcher", "LZ4", "shuffle"),
    "rows to the writer": ("FileFormatWriter", "MapInBatchExec", "CollectMetrics", "FileFormatDataWriter",
                           "GeneratedClass"),
    "plans and classes": ("janino", "ClassLoader", "SystemDictionary", "Codegen", "CodeGenerator", "catalyst",
                          "QueryExecution", "execution/streaming"),
}  # fmt: skip
"""Part -> what a stack of it has in one of its frames. The first part that fits has the sample."""
console = make_console()


def main() -> int:
    """Run twice, print the difference; 1 where rows are not the expected ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", type=Path, required=True, help="async-profiler's libasyncProfiler.so")
    parser.add_argument("--pageviews", type=int, default=8_000_000)
    parser.add_argument("--warm-up", type=int, default=2_000_000)
    parser.add_argument("--state", type=Path, default=Path(".webevents/bench/job"), help="folder of the topics")
    parser.add_argument(
        "--max-offsets-per-trigger", type=number, metavar="N", help="messages a batch at most; else the job's own limit"
    )
    parser.add_argument("--json", type=Path, help="file for the figures, for machines")
    given = parser.parse_args()
    if not given.agent.is_file():
        parser.error(f"--agent: no file {given.agent}; async-profiler's releases have libasyncProfiler.so")
    if given.warm_up >= given.pageviews:
        parser.error(f"--warm-up: want fewer than --pageviews, {given.pageviews}, got {given.warm_up}")
    state = given.state.resolve()
    with serving(state) as servers:
        short, long = (
            one(state, servers, size, given.agent.resolve(), given.max_offsets_per_trigger)
            for size in (given.warm_up, given.pageviews)
        )
    millions = (given.pageviews - given.warm_up) / 1e6
    names = [PYTHON, *PARTS, REST]
    found = {name: (long["parts"][name] - short["parts"][name]) / millions for name in names}
    console.print(to_table(found))
    if given.json is not None:
        figures = {"per_million": found, "batch": given.max_offsets_per_trigger, "short": short, "long": long}
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if short["right"] and long["right"] else 1


def one(state: Path, servers: str, size: int, agent: Path, batch: int | None) -> dict[str, Any]:
    """One run: part -> CPU-seconds, and whether its rows are right."""
    topic = fill(state, servers, size, 1)
    place = Run(servers, topic["topic"], state / "run", environment(os.environ), batch)
    stacks = place.folder / STACKS

    def command(run: Run) -> list[str]:
        words = ours(NO_ARCHIVE)(run)
        options = words.index("--driver-java-options") + 1
        interval = f"interval={INTERVAL_S * 1000:.0f}ms"
        words[options] += f" -agentpath:{agent}=start,event=cpu,{interval},file={stacks},collapsed"
        return words

    with console.status(f"{size:,} pageviews"):
        measured = measure(command, place, topic)
        with stacks.open(errors="replace") as lines:
            parts = to_parts(lines, INTERVAL_S)
    java_s = measured.cpu_s_of["java"]
    parts[REST] += java_s - sum(parts.values())
    parts[PYTHON] = measured.cpu_s - java_s
    return {"pageviews": size, "right": measured.right, "cpu_s": measured.cpu_s, "parts": parts}


def to_parts(stacks: Iterable[str], interval_s: float) -> Counter[str]:
    """Part -> seconds, of lines as async-profiler collapses them: frames with semicolons between, a space, samples."""
    found: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rstrip().rpartition(" ")
        part = next((name for name, marks in PARTS.items() if any(mark in frames for mark in marks)), REST)
        found[part] += int(count) * interval_s
    return found


def to_table(found: Mapping[str, float]) -> Table:
    """A line a part, the dearest first."""
    table = Table(title="Kafka to Avro, marginal")
    table.add_column("part")
    table.add_column("CPU-s/million", justify="right")
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{value:.1f}")
    table.add_section()
    table.add_row("all", f"{sum(found.values()):.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
