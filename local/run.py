"""One run of the pipeline on the local cloud: its Spark job, its tables, and what they say meanwhile."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.status import Status

from contract.failures import ConfigError
from feeds.produce import Sender
from local import commands, stack
from local.job import CHECKPOINT, SHORT_LIVED_JVM, Job, submit, wait_until
from local.outcome import Warehouse
from local.state import LOCK
from warehouse.accounts import Accounts
from warehouse.apply import apply_live_view
from warehouse.clients import bigquery_client, storage_client
from warehouse.reconcile import compare_topics, reconcile
from warehouse.records import read_records
from warehouse.tables import Tables

STEP_S = 600.0
"""How long one step may take before the run gives up on it: reading a phase, loading the last file."""

WINDOW_S = 30
WATERMARK_S = 20
TRIGGER_S = 2
SHORT = ("--window-seconds", str(WINDOW_S), "--watermark-seconds", str(WATERMARK_S))
SHORT_SAYS = (
    f"Windows of {WINDOW_S} s, {WATERMARK_S} s for stragglers, a batch every {TRIGGER_S} s: "
    "for this run only; a site has 30 min, 200 s and 180 s."
)
PULSE_S = 2.0


@dataclass
class Run:
    """One run: the cloud that it is on, its tables, its topic, its job."""

    cloud: stack.Stack
    warehouse: Warehouse
    console: Console
    topic: str
    job: Job | None = None
    tended: bool = False
    """Whether a job that ends is started again while something is waited for; otherwise its end is the run's."""
    restarts: int = 0
    _submitted: tuple[str, ...] = ()
    _pulse: Sender | None = None
    _pulsed_s: float = field(default=0.0)

    def submit(self, trigger: str, *flags: str, jvm: str = SHORT_LIVED_JVM) -> Job:
        """Start the Spark job on the run's topic."""
        self._submitted = (trigger, *flags)
        environ = {**os.environ, **self.cloud.environment()}
        self.job = submit(
            self.cloud.state.folder, environ, servers=self.cloud.kafka_servers, bucket=self.cloud.bucket,
            topic=self.topic, trigger=trigger, flags=flags, jvm=jvm,
        )  # fmt: skip
        return self.job

    def submit_short(self) -> Job:
        """Start the job with the windows, watermark and trigger of a run of minutes; `sessions_live` knows of it."""
        self.console.print(SHORT_SAYS, soft_wrap=True)
        apply_live_view(self.warehouse.client, self.warehouse.dataset, window_s=WINDOW_S)
        return self.submit(str(TRIGGER_S), *SHORT)

    def resubmit(self) -> Job:
        """Start the job once more, as it was submitted, on its checkpoint."""
        self.restarts += 1
        return self.submit(*self._submitted)

    def revive(self) -> None:
        """Start the job again where it has ended, as Dataproc does for a job that may be restarted."""
        if self.job is not None and self.job.process.poll() is not None:
            self.resubmit()

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = STEP_S) -> Any:
        """Wait for `condition` with a line that shows how far the job is."""
        with self.console.status(what) as status:
            return wait_until(lambda: self._look(condition, what, status), timeout_s=timeout_s, what=what)

    def _look(self, condition: Callable[[], Any], what: str, status: Status) -> Any:
        if self.job is not None:
            if self.tended:
                self.revive()
            else:
                self.job.check()
            batches = self.job.batches()
            rows = sum(batch["rowsIn"] for batch in batches)
            status.update(f"{what} ({len(batches)} batches, {rows:,} messages read)")
        return condition()

    def has_reached(self, watermark_ms: int) -> bool:
        """Whether a batch on record ran with that watermark."""
        return any(record.watermark_ms >= watermark_ms for record in read_records(self.warehouse.bucket))

    def pulse(self) -> None:
        """A heartbeat in every partition, at most one in PULSE_S: the last windows of a quiet topic close."""
        if time.monotonic() - self._pulsed_s >= PULSE_S:
            self._pulse = self._pulse or Sender(self.cloud.kafka_servers, self.topic)
            self._pulse.send_heartbeats(time.time_ns() // 1_000_000)
            self._pulse.finish()
            self._pulsed_s = time.monotonic()

    def settle(self) -> None:
        """Wait until every window is closed and every published file is loaded."""
        self.until(self._is_settled, "the last windows close and load")

    def _is_settled(self) -> bool:
        self.pulse()
        return not self.accounts().total.open and not self.warehouse.waiting()

    def accounts(self) -> Accounts:
        """The accounts of the whole run, the topic included."""
        accounts = reconcile(Tables(self.warehouse.client, self.warehouse.dataset), self.warehouse.bucket)
        servers, dataset = self.cloud.kafka_servers, self.warehouse.dataset
        compare_topics(accounts, self.warehouse.client, dataset, servers, [self.topic])
        return accounts


@contextmanager
def started(
    state: str, console: Console, topic: str, *, keep: bool, tended: bool = False, deliveries: int = 1,
    shuffle_seed: int | None = None,
) -> Iterator[Run]:  # fmt: skip
    """A run on an empty local cloud of its own in `state`, which ends with it unless it is to be kept.

    The cloud's addresses are put into the environment.
    """
    folder = Path(state).resolve()
    clear(folder)
    settings = stack.StackSettings(state=folder, deliveries=deliveries, shuffle_seed=shuffle_seed)
    cloud = stack.start(settings, partial(commands.print_ready, console))
    os.environ.update(cloud.environment())
    run = Run(cloud, open_warehouse(cloud), console, topic, tended=tended)
    try:
        yield run
    finally:
        if run.job is not None:
            run.job.kill()
        if not keep:
            cloud.stop()
    if keep:
        console.print(f"The local cloud still runs: webevents status --state {state}")


def read_metric(collector_url: str, name: str) -> float:
    """One number of the collector's /metrics; 1 where it does not answer."""
    try:
        said = requests.get(f"{collector_url}/metrics", timeout=5).text
    except requests.RequestException:
        return 1.0
    return next(
        float(line.rpartition(" ")[2]) for line in said.splitlines() if line.startswith(f"webevents_collector_{name} ")
    )


def clear(folder: Path) -> None:
    """Stop and remove what an earlier run left in `folder`, and nothing else. Raises ConfigError for other things."""
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / LOCK).exists():
            raise ConfigError(f"--state: {folder} holds other things than an earlier run; name a new folder")
        stack.stop(folder)
        commands.wipe(folder)
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)


def open_warehouse(cloud: stack.Stack) -> Warehouse:
    """The run's tables and bucket, by Google's own clients."""
    bucket = storage_client(cloud.project).bucket(cloud.bucket)
    return Warehouse(bigquery_client(cloud.project, None), cloud.dataset, bucket)
