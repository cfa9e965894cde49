"""`webevents bench`: what a part costs, side by side with its peers in one run, printed as ratios."""

import os
import runpy
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.job import report, run
from bench.job.programs import BATCHED, PROGRAMS, named
from contract.failures import ConfigError, WebeventsError
from contract.settings import number, one_of, read_flags, setting, text
from local.processes import on_term

MODULES = {
    "collector": "bench.collector.run",
    "function": "bench.function.run",
    "tag": "bench.tag.run",
    "reading": "bench.job.reading",
    "steps": "bench.job.steps",
    "profile": "bench.job.profiled",
    "sizes": "bench.job.sizes",
    "steady": "bench.job.steady",
    "growth": "bench.job.growth",
    "end-to-end": "bench.end_to_end.run",
}
PARTS = ("job", *MODULES)
ARGPARSE = 2
"""How argparse ends where a flag is at fault."""
DESCRIPTION = """\
Measure a part of the pipeline beside its peers, on this machine and in one run.

  job         Kafka to Avro, on one seeded topic: CPU-seconds per million pageviews between the end of the warm-up and
              the end of the topic, so that start and compilation do not count, and every program's rows compared with
              the expected ones
  collector   accepted events a second with durable acknowledgement (needs bench/collector/requirements.txt and wrk)
  function    calls of BigQuery and Cloud Storage per storage event
  tag         bytes of the tag, milliseconds of the browser's main thread and requests a pageview (needs Chromium and,
              for peers' tags, npm)
  reading     Python's part of the job, a message, beside the limit program's loop
  steps       both queries of the job step by step, as batches
  profile     where the sessions query's CPU time goes, by async-profiler
  sizes       bytes of a pageview in tables and state
  steady      the job while pageviews arrive, with a million open sessions: lag, memory, batches
  growth      the job on one, two, four and eight million pageviews: CPU time, memory, checkpoint
  end-to-end  from the click to the row of each table, stage by stage, on the whole local cloud

The flags below are those of job; webevents bench PART --help lists another part's. job runs Flink SQL among its
peers unless --programs leaves it out: that needs a JDK of Java 17 and fetches 200 MB of jars the first time.
Read the ratios: seconds are those of this machine and of what else it does. Exit code 1 where a program's rows are
wrong."""


def programs(given: str) -> tuple[str, ...]:
    """Programs with commas between, each as NAME or NAME:N."""
    found = tuple(text(each) for each in given.split(","))
    for each in found:
        named(each)
    return found


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Settings of `webevents bench`."""

    part: tuple[str, ...] = setting(
        one_of(*PARTS), default=("job",), positional=True, help=f"what to measure, before all flags: {', '.join(PARTS)}"
    )
    programs: tuple[str, ...] = setting(
        programs, default=("ours", "flink", "flink-rocksdb", "limit"),
        help=f"job: what to run, with commas between, of {', '.join(PROGRAMS)}; NAME:N gives a slow one an Nth of the "
        "pageviews, of the warm-up, too",
    )  # fmt: skip
    pageviews: int = setting(number, default=8_000_000, help="job: pageviews of the topic")
    warm_up: int = setting(number, default=2_000_000, help="job: pageviews of the topic that is taken off")
    rounds: int = setting(number, default=5, help="job: rounds, in each of which every program runs once")
    seed: int = setting(number, default=1, help="job: seed of the topic")
    max_offsets_per_trigger: int | None = setting(
        number, default=None, help=f"job: messages a batch at most, of {', '.join(BATCHED)}; without it ours have the "
        "job's own limit, published 200,000",
    )  # fmt: skip
    state: Path = setting(
        Path, default=Path(".webevents/bench/job"), help="job: folder of the topics, kept for next time"
    )
    json: Path | None = setting(Path, default=None, help="job: file for the figures of every run, for machines")
    chart: Path | None = setting(Path, default=None, help="job: file for a chart, a PNG; needs matplotlib")
    against: Path | None = setting(
        Path, default=None, help="job: figures of an earlier --json; warns of each ratio that has become worse"
    )


def main(argv: Sequence[str]) -> int:
    """Measure one part. A part other than job reads the words after it."""
    on_term(signal.default_int_handler)
    if argv and argv[0] in MODULES:
        return run_part(MODULES[argv[0]], argv[1:])
    settings = read_flags(BenchSettings, argv, prog="webevents bench", description=DESCRIPTION)
    if len(settings.part) > 1:
        raise ConfigError(f"PART: want one of {', '.join(PARTS)}, got {len(settings.part)}")
    (part,) = settings.part
    if part in MODULES:
        raise ConfigError(f"{part}: comes first; webevents bench {part} --help lists its flags")
    if settings.warm_up >= settings.pageviews:
        raise ConfigError(f"--warm-up: want fewer than --pageviews, {settings.pageviews}, got {settings.warm_up}")
    for given in settings.programs:
        if settings.warm_up < named(given)[1]:
            raise ConfigError(f"--programs: {given} leaves nothing of the {settings.warm_up} pageviews of --warm-up")
    if settings.max_offsets_per_trigger is not None and not {named(each)[0] for each in settings.programs} & {*BATCHED}:
        raise ConfigError(f"--max-offsets-per-trigger: of --programs none reads in batches, as {', '.join(BATCHED)} do")
    if settings.chart is not None:
        report.check_chart()
    figures = run.run(
        settings.state.resolve(), settings.programs, pageviews=settings.pageviews, warm_up=settings.warm_up,
        rounds=settings.rounds, seed=settings.seed, batch=settings.max_offsets_per_trigger, environ=os.environ,
    )  # fmt: skip
    return report.report(figures, json_file=settings.json, chart=settings.chart, against=settings.against)


def run_part(module: str, argv: Sequence[str]) -> int:
    """As `python -m` does, in this process, so that what ends it ends the servers of the part."""
    sys.argv = [module, *argv]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code != ARGPARSE:
            raise
        return ConfigError.exit_code
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except WebeventsError as error:
        sys.stderr.write(f"webevents bench: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
