"""`webevents demo`: the whole pipeline on this machine, from a browser, visitors or a log to the tables."""

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contract.failures import ConfigError, TransientError
from contract.names import BACKFILL_TOPIC, TOPIC
from contract.reasons import Reason
from contract.settings import number, read_flags, setting, switch, text
from feeds import access_log
from feeds.produce import Sender
from local import shop, watch
from local.audience import LATE_BY_MS, Audience, Shares, Sort, draw
from local.browser import Visit, find_chromium, walk
from local.job import JVM, SHORT_LIVED_JVM, wait_until
from local.ledger import Ledger, Outcome
from local.messages import bad_values
from local.outcome import check_visit, has_archived, print_outcome, print_visit, to_json
from local.run import STEP_S, WINDOW_S, Run, started

DESCRIPTION = """\
Run the whole pipeline on this machine: collector, Kafka, Spark job, Cloud Storage, function, BigQuery's stand-in.

Simulated visitors send pageviews to the collector over HTTP, with retries, late ones and faulty ones; a real Chromium
visits a sample site with the tag on its pages. With --input, a web server's access log goes through as a backfill
instead. It ends with tables and with the line that accounts for every pageview; exit code 0 means that it holds.
With --open it goes on: visit the sample site yourself and see your own pageviews arrive, until Ctrl-C."""

BACKFILL_S = 1800.0
LARGE_LOG_BYTES = 64 * 1024 * 1024
LATE = 20
POISON_EACH = 3
PER_SECOND = 400.0
LEDGER = "ledger.jsonl"


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Settings of `webevents demo`."""

    input: str | None = setting(text, default=None, help="access log, plain or .gz; without it visitors are simulated")
    site: str = setting(
        text, default="", help="the log's own site, e.g. https://example.org; without it, the one most referrers name"
    )
    pageviews: int = setting(number, default=10_000, help="events that the simulated visitors send")
    seed: int = setting(number, default=7, help="seed of the simulated visitors")
    open: bool = setting(switch, default=False, help="stay up afterwards and show the visits that you make yourself")
    json: str | None = setting(text, default=None, help="write the outcome to this file as JSON")
    state: str = setting(
        text, default=".webevents/demo", help="folder of the run; an earlier run's data there is removed"
    )
    keep: bool = setting(switch, default=False, help="leave the local cloud running, to look around in it")


def main(argv: Sequence[str]) -> int:
    """The command. 0: every pageview is accounted for; 1: it does not hold."""
    settings = read_flags(DemoSettings, argv, prog="webevents demo", description=DESCRIPTION)
    if settings.input and not Path(settings.input).is_file():
        raise ConfigError(f"--input: there is no file {settings.input}")
    if settings.input and settings.open:
        raise ConfigError("--open shows visits to the sample site; it does not go with --input")
    topic = BACKFILL_TOPIC if settings.input else TOPIC
    with started(settings.state, Console(), topic, keep=settings.keep) as run:
        return demonstrate(run, settings)


def demonstrate(run: Run, settings: DemoSettings) -> int:
    """Send, wait, show; returns the exit code."""
    started_s = time.monotonic()
    if settings.input:
        backfill(run, settings.input, settings.site)
        return conclude(run, settings, None, started_s)
    with shop.serve(run.cloud.collector_url) as origin:
        visit = live(run, settings, origin)
        code = conclude(run, settings, visit, started_s)
        if settings.open:
            watch.own_visits(run, origin)
    return code


def conclude(run: Run, settings: DemoSettings, visit: Visit | None, started_s: float) -> int:
    """Print and write the outcome; 0 where it holds."""
    run.until(lambda: not run.warehouse.waiting(), "loading the published files")
    accounts = run.accounts()
    print_outcome(run.console, run.warehouse, accounts)
    outcome = to_json(run.warehouse, accounts, time.monotonic() - started_s)
    holds = accounts.holds
    if visit is not None:
        arrived = check_visit(run.warehouse, visit)
        print_visit(run.console, visit, arrived=arrived)
        outcome["browser_pageviews"] = len(visit.views) if arrived else 0
        holds = holds and arrived
    if settings.json:
        Path(settings.json).write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    return 0 if holds else 1


def backfill(run: Run, log: str, own_site: str) -> None:
    """An access log through the backfill topic: import it, then one run of the job that ends by itself."""
    site_flag = ["--site", own_site] if own_site else []
    if access_log.main([log, "--kafka-servers", run.cloud.kafka_servers, "--topic", run.topic, *site_flag]):
        run.console.print("[bold]the log was not read to its end; what was read goes on[/bold]")
    jvm = JVM if Path(log).stat().st_size > LARGE_LOG_BYTES else SHORT_LIVED_JVM
    job = run.submit("available-now", jvm=jvm)
    run.until(lambda: job.process.poll() == 0, "the Spark job reads the backfill", BACKFILL_S)


def live(run: Run, settings: DemoSettings, origin: str) -> Visit | None:
    """Visitors and a browser, through the collector, while the job runs; then what is late, and what is no pageview."""
    begun_ms = time.time_ns() // 1_000_000
    run.submit_short()
    ledger = Ledger(run.cloud.state.folder / LEDGER)
    audience = Audience(run.cloud.collector_url, ledger, draw(settings.seed, Shares()))
    audience.events, audience.per_second = settings.pageviews, PER_SECOND
    audience.start()
    visit = None if settings.open else browse(run, origin)
    show_progress(run.console, audience, ledger)
    passed_ms = begun_ms - LATE_BY_MS + WINDOW_S * 1000
    run.until(lambda: run.has_reached(passed_ms), "the Spark job reads the first pageviews")
    late = (draft for draft in draw(settings.seed + 1, Shares(late=1.0)) if draft.sort is Sort.LATE)
    send_all(Audience(run.cloud.collector_url, ledger, late, events=LATE))
    poisoned = poison(run, settings.seed)
    ledger.close()
    run.console.print(
        f"visitors: {ledger.counts[Outcome.OK]:,} events acknowledged, {audience.again:,} sent again, {LATE} of them "
        f"an hour late, {ledger.counts[Outcome.REFUSED]:,} refused by the collector; "
        f"{poisoned} messages that are no pageviews sent past it",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    run.settle()
    return visit


def browse(run: Run, origin: str) -> Visit | None:
    """The walk of a real Chromium; None, said in a sentence, where there is none."""
    try:
        with run.console.status("Chromium visits the sample site"):
            visit = walk(origin, find_chromium(os.environ), partial(has_archived, run.warehouse))
    except ConfigError as missing:
        run.console.print(f"[yellow]no visit by a browser: {missing}[/yellow]", soft_wrap=True)
        return None
    run.console.print(f"Chromium: {len(visit.views)} views of {origin} as visitor {visit.uiud}", soft_wrap=True)
    return visit


def show_progress(console: Console, audience: Audience, ledger: Ledger) -> None:
    """Wait for the visitors with a bar."""
    columns = (TextColumn("visitors"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=audience.events)

        def done() -> bool:
            progress.update(task, completed=ledger.counts.total())
            return audience.done()

        wait_until(done, timeout_s=STEP_S, what="the visitors send their events")
    if unknown := ledger.counts[Outcome.UNKNOWN]:
        raise TransientError(f"{unknown} events were never answered by the collector")


def send_all(audience: Audience) -> None:
    """Send a few events and wait for the answers."""
    audience.start()
    wait_until(audience.done, timeout_s=STEP_S, what="the late visitors send their events")


def poison(run: Run, seed: int) -> int:
    """Messages that are no pageviews, straight into the topic: each must be refused with its reason."""
    sender = Sender(run.cloud.kafka_servers, run.topic)
    now_ms = time.time_ns() // 1_000_000
    for reason in Reason:
        for value in islice(bad_values(reason, now_ms, random.Random(seed)), POISON_EACH):
            sender.send(None, value)
    sender.finish()
    return sender.acknowledged
