"""How long a pageview takes from the click to each table, stage by stage, on the whole pipeline of this machine.

    python -m bench.end_to_end.run [--per-second 200] [--seconds 900] [--trigger 30] [--json FILE]

Simulated visitors send to the collector over HTTP at a steady rate. Every row's times are read afterwards: the click
(the event's own time), the collector's receivedAt, Kafka's timestamp, when the batch's object was created, when its
load ended. No late events, no faults, no retries: `webevents prove` is for those.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from google.cloud import bigquery
from rich.progress import Progress
from rich.table import Table

from bench.console import make_console
from contract.names import PAGEVIEW, TOPIC, parse_object_name
from local.audience import Audience, Shares, draw
from local.job import JVM
from local.ledger import Ledger
from local.run import Run, started

WARM_UP_S = 60
"""Rows of the first minute are left out: the job starts, and compiles."""
PLAIN = Shares(again=0, custom=0, late=0, faulty=0)

EVENTS = f"""
SELECT UNIX_MILLIS(timestamp) AS click, receivedAt AS received, UNIX_MILLIS(kafkaTimestamp) AS kafka, batchKey
FROM `{{dataset}}.events` WHERE eventType = '{PAGEVIEW}' AND timestamp >= TIMESTAMP_MILLIS(@since)
"""
SESSIONS = """
SELECT UNIX_MILLIS(window_end) AS ended, batchKey
FROM `{dataset}.sessions` WHERE window_start >= TIMESTAMP_MILLIS(@since)
"""


def main() -> int:
    """Run, read the times, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-second", type=float, default=200, help="pageviews a second")
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--trigger", type=int, default=30, help="the job's")
    parser.add_argument("--window-seconds", type=int, default=60, help="the job's: short, so that many end in the run")
    parser.add_argument("--watermark-seconds", type=int, default=200, help="the job's")
    parser.add_argument("--state", default=".webevents/bench/end-to-end", help="an earlier run's data there is removed")
    parser.add_argument("--json", type=Path, help="file for the figures, for machines")
    given = parser.parse_args()
    console = make_console()
    with started(given.state, console, TOPIC, keep=False) as run:
        since_ms = send(run, given)
        run.settle()
        found = to_figures(*read_times(run, since_ms))
    console.print(to_table(found, given))
    if given.json is not None:
        settings = {key: value for key, value in vars(given).items() if key != "json"}
        given.json.write_text(json.dumps({"given": settings, "stages": found}, indent=1) + "\n")
    return 0


def send(run: Run, given: argparse.Namespace) -> int:
    """Visitors for the given time; returns since when the times count, in ms."""
    flags = {"--window-seconds": given.window_seconds, "--watermark-seconds": given.watermark_seconds}
    run.submit(str(given.trigger), *[str(word) for pair in flags.items() for word in pair], jvm=JVM)
    ledger = Ledger(run.cloud.state.folder / "ledger.jsonl")
    audience = Audience(run.cloud.collector_url, ledger, draw(7, PLAIN), per_second=given.per_second)
    since_ms = time.time_ns() // 1_000_000 + WARM_UP_S * 1000
    audience.start()
    with Progress(console=run.console) as progress:
        task = progress.add_task("visitors", total=given.seconds)
        for second in range(given.seconds):
            time.sleep(1)
            audience.done()
            progress.update(task, completed=second + 1)
    audience.stop()
    ledger.close()
    return since_ms


def read_times(run: Run, since_ms: int) -> tuple[Sequence[Mapping[str, int]], Sequence[Mapping[str, int]]]:
    """Of each pageview's row in events, and of each row of sessions: when it was where, in ms since the epoch."""
    created, loaded = objects_created(run), loads_ended(run)
    since = bigquery.ScalarQueryParameter("since", "INT64", since_ms)
    asked = (run.warehouse.ask(question, since) for question in (EVENTS, SESSIONS))
    events, sessions = (
        [{**row, "created": created[kind, row["batchKey"]], "loaded": loaded[kind, row["batchKey"]]} for row in rows]
        for kind, rows in zip(("events", "sessions"), asked, strict=True)
    )
    return events, sessions


def objects_created(run: Run) -> dict[tuple[str, str], int]:
    """(kind, batchKey) -> when the object was there."""
    found = {}
    for blob in run.warehouse.bucket.list_blobs():
        batch = parse_object_name(blob.name)
        if batch is not None:
            found[batch.kind.value, batch.batch_key] = int(blob.time_created.timestamp() * 1000)
    return found


def loads_ended(run: Run) -> dict[tuple[str, str], int]:
    """(kind, batchKey) -> when its rows were in the table."""
    found = {}
    for job in run.warehouse.client.list_jobs(state_filter="done"):
        if isinstance(job, bigquery.LoadJob) and not job.error_result:
            for uri in job.source_uris or ():
                batch = parse_object_name(uri.split("/", 3)[3])
                if batch is not None:
                    found[batch.kind.value, batch.batch_key] = int(job.ended.timestamp() * 1000)
    return found


def to_figures(
    events: Sequence[Mapping[str, int]], sessions: Sequence[Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """stage -> rows, p50_s and p99_s."""
    return {
        "click to collector": spread(row["received"] - row["click"] for row in events),
        "collector to Kafka": spread(row["kafka"] - row["received"] for row in events),
        "Kafka to archived object": spread(row["created"] - row["kafka"] for row in events),
        "archived object to row": spread(row["loaded"] - row["created"] for row in events),
        "click to archived row": spread(row["loaded"] - row["click"] for row in events),
        "window's end to sessions object": spread(row["created"] - row["ended"] for row in sessions),
        "sessions object to row": spread(row["loaded"] - row["created"] for row in sessions),
        "window's end to sessions row": spread(row["loaded"] - row["ended"] for row in sessions),
    }


def spread(times_ms: Iterable[int]) -> dict[str, float]:
    """Nearest-rank percentiles, in seconds."""
    ordered = sorted(times_ms)
    ranks = {f"p{share}_s": ordered[math.ceil(len(ordered) * share / 100) - 1] / 1000 for share in (50, 99)}
    return {"rows": len(ordered), **ranks, "most_s": ordered[-1] / 1000}


def to_table(found: Mapping[str, Mapping[str, float]], given: argparse.Namespace) -> Table:
    """One line a stage."""
    table = Table(
        title=f"{given.per_second:g} pageviews/s for {given.seconds} s, a batch every {given.trigger} s, windows of "
        f"{given.window_seconds} s, watermark {given.watermark_seconds} s"
    )
    for title in ("stage", "rows", "p50", "p99", "longest"):
        table.add_column(title, justify="left" if title == "stage" else "right")
    for stage, row in found.items():
        times = [f"{row[key]:.2f} s" for key in ("p50_s", "p99_s", "most_s")]
        table.add_row(stage, f"{row['rows']:,.0f}", *times)
    return table


if __name__ == "__main__":
    sys.exit(main())
