"""The job at a steady load for a while: its lag, its memory, its batches.

    python -m bench.job.steady [--rate 70000] [--seconds 900] [--visitors 250000] [--hot 0.1] [--archive]
                               [--state DIR] [--json FILE]

bench.job.arrivals sends pageviews as time passes, the job reads them as they come, broker, sender and job on the same
cores. Every visitor is seen in every window, and a window stays open for the watermark's seconds after its end: with
windows of a minute four and a third of them are open at the least, and --visitors sessions in each. The job runs
without its archive, like the rounds of `webevents bench job`; --archive runs it too, and its processor time is counted.
Afterwards every window that was closed is compared with what was sent in it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars
from rich.progress import Progress
from rich.table import Table

from bench.console import make_console
from bench.job.check import avro_files, to_ms
from bench.job.fill import serving
from bench.job.programs import NO_ARCHIVE, Run, environment, ours
from bench.job.reap import Clock, tree
from local.job import Job

TOPIC = "steady"
SAMPLE_S = 5.0
CATCH_UP_S = 120.0
DISK_BYTES = 250
"""What a pageview of a run leaves in the topic, the checkpoint and the rows; measured, docs/performance.md."""
ARCHIVE_BYTES = 150
"""And in the archive's objects."""
console = make_console()


def main() -> int:
    """Run, print, and compare; 1 where a window's pageviews are not those that were sent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=70_000, help="pageviews a second")
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--visitors", type=int, default=250_000, help="sessions a window")
    parser.add_argument("--hot", type=float, default=0.0, help="share of all pageviews that one visitor has, below 1")
    parser.add_argument("--window-seconds", type=int, default=60)
    parser.add_argument("--watermark-seconds", type=int, default=200)
    parser.add_argument("--trigger", type=int, default=10, help="seconds between batches")
    parser.add_argument("--archive", action="store_true", help="with the query that archives every message")
    parser.add_argument("--state", type=Path, default=Path(".webevents/bench/steady"), help="emptied before")
    parser.add_argument("--json", type=Path, help="file for all samples and batches")
    given = parser.parse_args()
    if not 0 <= given.hot < 1:
        parser.error(f"--hot: want 0 or more and less than 1, got {given.hot}")
    state = given.state.resolve()
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    pageviews, free = given.rate * given.seconds, shutil.disk_usage(state).free
    want = pageviews * (DISK_BYTES + (ARCHIVE_BYTES if given.archive else 0))
    if free < want:
        parser.error(
            f"--state: want {want / 1e9:.1f} GB free for {pageviews:,} pageviews, {state} has {free / 1e9:.1f} GB: "
            "give a folder on another disk, a lower --rate or fewer --seconds"
        )
    with serving(state, TOPIC) as servers:
        found = run(servers, state, given)
    console.print(to_table(found))
    told = ", ".join(f"{query} {count:,}" for query, count in found["behind"].items())
    console.print(f"messages in no batch yet when the last one had been sent: {told}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    wrong = [window for window, (sent, kept) in found["windows"].items() if sent != kept]
    if not found["windows"]:
        console.print("no window was closed: nothing is compared; give more --seconds")
        return 1
    console.print(f"windows differ: {', '.join(wrong)}" if wrong else "every closed window has what was sent in it")
    return 1 if wrong else 0


def run(servers: str, state: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Send and read; returns the batches, the samples, and for each closed window what was sent and what is there."""
    place = Run(servers, TOPIC, state, environment(os.environ))
    job = start_job(place, given)
    sender = start_sender(place, given)
    samples: list[dict[str, float]] = []
    clock = Clock(job.process.pid)
    try:
        with Progress(console=console) as progress:
            task = progress.add_task("steady load", total=given.seconds)
            began = time.monotonic()
            while sender.poll() is None:
                time.sleep(SAMPLE_S)
                job.check()
                passed = time.monotonic() - began
                samples.append({"second": passed, **usage(job.process.pid), "cpu_s": clock.seconds()})
                progress.update(task, completed=min(passed, given.seconds))
        sent = json.loads(sender.communicate()[0])
        behind = to_behind(job.batches(), sent["sent"])
        catch_up_s = wait_for_the_end(job, sent["sent"])
        job.stop()
    finally:
        if sender.poll() is None:
            sender.kill()
        job.kill()
    batches = [batch for batch in sessions_batches(job) if batch["rowsIn"]]
    kept = read_windows(place.out)
    windows = {start: (count, kept[int(start)]) for start, count in sent["windows"].items() if int(start) in kept}
    return {
        "given": {"rate": given.rate, "seconds": given.seconds, "visitors": given.visitors, "hot": given.hot,
                  "window_seconds": given.window_seconds, "watermark_seconds": given.watermark_seconds,
                  "trigger_s": given.trigger, "archive": given.archive},
        "sent": sent["sent"], "behind": behind, "catch_up_s": catch_up_s,
        "sender_longest_burst_s": sent["longest_burst_s"],
        "batches": [to_batch(batch) for batch in batches], "samples": samples, "windows": windows,
    }  # fmt: skip


def start_job(place: Run, given: argparse.Namespace) -> Job:
    """The product's job, as in the rounds, but on its own clock."""
    words = ours(
        "--window-seconds", str(given.window_seconds), "--watermark-seconds", str(given.watermark_seconds),
        *([] if given.archive else [NO_ARCHIVE]),
    )(place)  # fmt: skip
    words[words.index("available-now")] = str(given.trigger)
    log = place.folder / "job.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=dict(place.environ),
            start_new_session=True,
        )  # fmt: skip
    return Job(process, log)


def start_sender(place: Run, given: argparse.Namespace) -> "subprocess.Popen[str]":
    flags = {"--kafka-servers": place.servers, "--topic": TOPIC, "--rate": given.rate, "--seconds": given.seconds,
             "--visitors": given.visitors, "--hot": given.hot, "--window-seconds": given.window_seconds}  # fmt: skip
    words = [str(word) for pair in flags.items() for word in pair]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.job.arrivals", *words], stdout=subprocess.PIPE, text=True, env=dict(place.environ)
    )


def sessions_batches(job: Job) -> list[Mapping[str, Any]]:
    """The batches so far, those of the archive left out."""
    return [batch for batch in job.batches() if batch["query"] == "sessions"]


def to_behind(batches: Sequence[Mapping[str, Any]], sent: int) -> dict[str, int]:
    """Query -> messages of those sent that are in none of its batches so far."""
    read: Counter[str] = Counter()
    for batch in batches:
        read[batch["query"]] += batch["rowsIn"]
    return {query: sent - count for query, count in sorted(read.items())}


def wait_for_the_end(job: Job, sent: int) -> float:
    """Seconds until the sessions query has read all `sent` messages, after the last of them; at most CATCH_UP_S."""
    began = time.monotonic()
    while sum(batch["rowsIn"] for batch in sessions_batches(job)) < sent and time.monotonic() - began < CATCH_UP_S:
        job.check()
        time.sleep(1)
    return time.monotonic() - began


def usage(pid: int) -> dict[str, float]:
    """Memory of the job: of the Java process, and of Python's processes beside it."""
    java, python = 0, 0
    for each, process in tree(pid).items():
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        size = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        java, python = (java + size, python) if process.name == "java" else (java, python + size)
    return {"java_bytes": java, "python_bytes": python}


def read_windows(out: Path) -> Counter[int]:
    """Start of each window that was written, in ms -> pageviews in it."""
    total: Counter[int] = Counter()
    for path in avro_files(out):
        rows = polars.read_avro(path, columns=["window_start", "Pageviews"])
        for start_ms, count in zip(to_ms(rows["window_start"]), rows["Pageviews"], strict=True):
            total[start_ms] += count
    return total


def to_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a log line says of a batch."""
    return {
        "rows_in": batch["rowsIn"], "rows_out": batch["rowsOut"], "waiting": batch["rowsIn"] + batch["lag"],
        "seconds": batch["durationsMs"]["triggerExecution"] / 1000, "state_bytes": batch["stateBytes"],
    }  # fmt: skip


def to_table(found: Mapping[str, Any]) -> Table:
    """The figures, third by third: what grows, grows from one to the next. Batches are those of the sessions query."""
    given = found["given"]
    load = f"{given['rate']:,} pageviews/s for {given['seconds']} s, {given['visitors']:,} visitors a window"
    if given["hot"]:
        load += f", one with {given['hot']:.0%} of the pageviews"
    if given["archive"]:
        load += ", with the archive"
    table = Table(title=load)
    for title in ("", "all", "first third", "second", "last"):
        table.add_column(title, justify="left" if not title else "right")
    batches, samples = found["batches"], found["samples"]
    for title, rows, key, of, shape in (
        ("batches", batches, "seconds", len, "{:,d}"),
        ("batch, p50", batches, "seconds", statistics.median, "{:.1f} s"),
        ("batch, p99", batches, "seconds", p99, "{:.1f} s"),
        ("batch, longest", batches, "seconds", max, "{:.1f} s"),
        ("rows made", batches, "rows_out", sum, "{:,d}"),
        ("messages that wait for a batch, median", batches, "waiting", statistics.median, "{:,.0f}"),
        ("messages that wait for a batch, most", batches, "waiting", max, "{:,d}"),
        ("state, MB, most", batches, "state_bytes", lambda values: max(values) / 2**20, "{:,.0f}"),
        ("Java, MB, most", samples, "java_bytes", lambda values: max(values) / 2**20, "{:,.0f}"),
        ("Python, MB, most", samples, "python_bytes", lambda values: max(values) / 2**20, "{:,.0f}"),
        ("cores busy for the job", samples, "cores", statistics.mean, "{:.2f}"),
        ("CPU-s per million", samples, "cores", lambda values: statistics.mean(values) / given["rate"] * 1e6, "{:.1f}"),
    ):  # fmt: skip
        values = cores(rows) if key == "cores" else [row[key] for row in rows]
        parts = [values, *thirds(values)]
        table.add_row(title, *[shape.format(of(part)) if part else "" for part in parts])
    return table


def cores(samples: Sequence[Mapping[str, float]]) -> list[float]:
    """Processor seconds a second, from one sample to the next."""
    pairs = zip(samples, samples[1:], strict=False)
    return [(after["cpu_s"] - before["cpu_s"]) / (after["second"] - before["second"]) for before, after in pairs]


def thirds(values: Sequence[Any]) -> list[Sequence[Any]]:
    cuts = [len(values) * part // 3 for part in range(4)]
    return [values[begin:end] for begin, end in zip(cuts, cuts[1:], strict=False)]


def p99(values: Sequence[float]) -> float:
    """The smallest value that no more than one in a hundred is above."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


if __name__ == "__main__":
    sys.exit(main())
