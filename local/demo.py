"""`webevents demo`: the whole pipeline on this machine, from a log or from simulated visitors to the tables."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from contract.failures import ConfigError
from contract.names import BACKFILL_TOPIC, TOPIC
from contract.settings import number, read_flags, setting, switch, text
from feeds import access_log
from local import commands, stack, visitors
from local.job import CHECKPOINT, Job, submit, wait_until
from local.outcome import Warehouse, print_outcome, to_json
from local.plan import Planned, send
from local.state import LOCK
from warehouse.accounts import Accounts
from warehouse.clients import bigquery_client, storage_client
from warehouse.reconcile import compare_topics, reconcile
from warehouse.records import read_records
from warehouse.tables import Tables

DESCRIPTION = """\
Run the whole pipeline on this machine: Kafka, the Spark job, Cloud Storage, the function, BigQuery's stand-in.

With --input, a web server's access log goes through it as a backfill. Without, simulated visitors send a known number
of pageviews, retries, late and malformed messages. It ends with tables and with the line that accounts for every
pageview; exit code 0 means that it holds."""

LIVE_TRIGGER_S = 2
STEP_S = 600.0
"""How long one step may take before the demo gives up on it: reading a phase, loading the last file."""
BACKFILL_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Settings of `webevents demo`."""

    input: str | None = setting(text, default=None, help="access log, plain or .gz; without it visitors are simulated")
    site: str = setting(
        text, default="", help="the log's own site, e.g. https://example.org; without it, the one most referrers name"
    )
    pageviews: int = setting(number, default=20_000, help="pageviews that the simulated visitors send")
    seed: int = setting(number, default=7, help="seed of the simulated visitors")
    json: str | None = setting(text, default=None, help="write the outcome to this file as JSON")
    state: str = setting(
        text, default=".webevents/demo", help="folder of the run; an earlier run's data there is removed"
    )
    keep: bool = setting(switch, default=False, help="leave the local cloud running, to look around in it")


@dataclass
class Run:
    """One run of the demo: its parts and what they say meanwhile."""

    cloud: stack.Stack
    warehouse: Warehouse
    console: Console
    topic: str
    job: Job | None = None

    def submit(self, trigger: str, *flags: str) -> Job:
        """Start the Spark job on the run's topic."""
        environ = {**os.environ, **self.cloud.environment()}
        self.job = submit(
            self.cloud.state.folder, environ, servers=self.cloud.kafka_servers, bucket=self.cloud.bucket,
            topic=self.topic, trigger=trigger, flags=flags,
        )  # fmt: skip
        return self.job

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = STEP_S) -> Any:
        """Wait for `condition` with a line that shows how far the job is."""
        with self.console.status(what) as status:
            return wait_until(lambda: self._look(condition, what, status), timeout_s=timeout_s, what=what)

    def _look(self, condition: Callable[[], Any], what: str, status: Status) -> Any:
        if self.job is not None:
            self.job.check()
            batches = self.job.batches()
            rows = sum(batch["rowsIn"] for batch in batches)
            status.update(f"{what} ({len(batches)} batches, {rows:,} messages read)")
        return condition()

    def has_reached(self, watermark_ms: int) -> bool:
        """Whether a batch on record ran with that watermark."""
        return any(record.watermark_ms >= watermark_ms for record in read_records(self.warehouse.bucket))

    def accounts(self) -> Accounts:
        """The accounts of the whole run, the topic included."""
        accounts = reconcile(Tables(self.warehouse.client, self.warehouse.dataset), self.warehouse.bucket)
        servers, dataset = self.cloud.kafka_servers, self.warehouse.dataset
        compare_topics(accounts, self.warehouse.client, dataset, servers, [self.topic])
        return accounts


def main(argv: Sequence[str]) -> int:
    """The command. 0: every pageview is accounted for; 1: it does not hold."""
    settings = read_flags(DemoSettings, argv, prog="webevents demo", description=DESCRIPTION)
    if settings.input and not Path(settings.input).is_file():
        raise ConfigError(f"--input: there is no file {settings.input}")
    started_s = time.monotonic()
    console = Console()
    state = Path(settings.state).resolve()
    cloud = start_cloud(state, console)
    os.environ.update(cloud.environment())
    run = Run(cloud, open_warehouse(cloud), console, BACKFILL_TOPIC if settings.input else TOPIC)
    try:
        if settings.input:
            backfill(run, settings.input, settings.site)
        else:
            now_ms = time.time_ns() // 1_000_000
            live(run, list(visitors.simulate(settings.seed, pageviews=settings.pageviews, start_ms=now_ms)))
        run.until(lambda: not run.warehouse.waiting(), "loading the published files")
        accounts = run.accounts()
        print_outcome(console, run.warehouse, accounts)
        if settings.json:
            outcome = to_json(run.warehouse, accounts, time.monotonic() - started_s)
            Path(settings.json).write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    finally:
        if run.job is not None:
            run.job.kill()
        if not settings.keep:
            cloud.stop()
    if settings.keep:
        console.print(f"The local cloud still runs: webevents status --state {settings.state}")
    return 0 if accounts.holds else 1


def start_cloud(state: Path, console: Console) -> stack.Stack:
    """An empty local cloud in `state`. What an earlier run left there is stopped and removed, and nothing else."""
    if state.is_dir() and any(state.iterdir()):
        if not (state / LOCK).exists():
            raise ConfigError(f"--state: {state} holds other things than an earlier run; name a new folder")
        stack.stop(state)
        commands.wipe(state)
    shutil.rmtree(state / CHECKPOINT, ignore_errors=True)
    return stack.start(stack.StackSettings(state=state), partial(commands.print_ready, console))


def open_warehouse(cloud: stack.Stack) -> Warehouse:
    """The run's tables and bucket, by Google's own clients."""
    bucket = storage_client(cloud.project).bucket(cloud.bucket)
    return Warehouse(bigquery_client(cloud.project, None), cloud.dataset, bucket)


def backfill(run: Run, log: str, site: str) -> None:
    """An access log through the backfill topic: import it, then one run of the job that ends by itself."""
    site_flag = ["--site", site] if site else []
    if access_log.main([log, "--kafka-servers", run.cloud.kafka_servers, "--topic", run.topic, *site_flag]):
        run.console.print("[bold]the log was not read to its end; what was read goes on[/bold]")
    job = run.submit("available-now")
    run.until(lambda: job.process.poll() == 0, "the Spark job reads the backfill", BACKFILL_S)


def live(run: Run, plan: Sequence[Planned]) -> None:
    """Simulated visitors on the live topic, while the job runs: phase by phase, so that late ones are late."""
    job = run.submit(str(LIVE_TRIGGER_S))
    for phase in sorted({planned.phase for planned in plan}):
        messages = [planned for planned in plan if planned.phase == phase]
        send(messages, run.cloud.kafka_servers, run.topic)
        run.console.print(f"visitors: phase {phase}, {len(messages):,} messages sent")
        wanted_ms = visitors.watermark_after(plan, phase)
        run.until(partial(run.has_reached, wanted_ms), f"the Spark job reads phase {phase}")
    run.until(lambda: not run.accounts().total.open, "the last windows close and load")
    job.stop()
