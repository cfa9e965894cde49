"""How the job's cost grows with what it is given: one run for each length of the topic.

    python -m bench.job.growth [--sizes 1000000,2000000,4000000,8000000] [--state DIR] [--json FILE]

The job runs as in `webevents bench job`, in batches of as many messages as it takes by itself. Files and bytes are
those of its checkpoint, a new file each on Cloud Storage too; its published object and batch record are beside them.
How the cost grows with open sessions and with the seconds between batches is for bench.job.steady: give it --visitors
and --trigger.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.console import make_console
from bench.job.fill import fill, serving
from bench.job.measure import measure
from bench.job.programs import PROGRAMS, Run, environment
from local.job import read_batches

console = make_console()


def main() -> int:
    """Measure and print; 1 where rows are not the expected ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")],
                        default=[1_000_000, 2_000_000, 4_000_000, 8_000_000])  # fmt: skip
    parser.add_argument("--state", type=Path, default=Path(".webevents/bench/job"), help="folder of the topics")
    parser.add_argument("--json", type=Path, help="file for the figures, for machines")
    given = parser.parse_args()
    state = given.state.resolve()
    with serving(state) as servers:
        found = [one(state, servers, size) for size in given.sizes]
    console.print(to_table(found))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(row["right"] for row in found) else 1


def one(state: Path, servers: str, size: int) -> dict[str, Any]:
    """The figures of one run."""
    topic = fill(state, servers, size, 1)
    place = Run(servers, topic["topic"], state / "run", environment(os.environ))
    with console.status(f"{size:,} pageviews"):
        measured = measure(PROGRAMS["ours"], place, topic)
    batches = read_batches(place.folder / "log")
    files = [path for path in (place.folder / "checkpoint").rglob("*") if path.is_file() and path.suffix != ".crc"]
    return {
        "pageviews": size, "right": measured.right, "cpu_s": measured.cpu_s, "wall_s": measured.wall_s,
        "peak_bytes": measured.peak_bytes, "batches": len(batches),
        "batch_s": statistics.median(batch["durationsMs"]["triggerExecution"] / 1000 for batch in batches),
        "checkpoint_files_a_batch": len(files) / len(batches),
        "checkpoint_bytes_a_batch": sum(path.stat().st_size for path in files) / len(batches),
        "state_bytes": max(batch["stateBytes"] for batch in batches),
    }  # fmt: skip


def to_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """A line a run. marginal: a million more than in the line above; files and MB: the checkpoint's, a batch."""
    table = Table(title="Kafka to Avro, whole runs")
    for title in ("pageviews", "CPU-s", "/million", "marginal", "wall s", "peak MB", "files", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    before: Mapping[str, Any] = {"pageviews": 0, "cpu_s": 0.0}
    for row in found:
        each = (row["cpu_s"] - before["cpu_s"]) / (row["pageviews"] - before["pageviews"]) * 1e6
        table.add_row(
            f"{row['pageviews']:,}", f"{row['cpu_s']:.0f}", f"{row['cpu_s'] / row['pageviews'] * 1e6:.1f}",
            f"{each:.1f}", f"{row['wall_s']:.0f}", f"{row['peak_bytes'] / 2**20:,.0f}",
            f"{row['checkpoint_files_a_batch']:.1f}", f"{row['checkpoint_bytes_a_batch'] / 2**20:.1f}",
        )  # fmt: skip
        before = row
    return table


if __name__ == "__main__":
    sys.exit(main())
