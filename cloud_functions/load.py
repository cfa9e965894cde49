"""One object, one load: a job id that every delivery of the event computes alike."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitedTooLong
from datetime import datetime, timedelta
from time import sleep
from typing import Any

from google.api_core.exceptions import Conflict, GoogleAPICallError, GoogleAPIError, NotFound
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.storage import Client as StorageClient

from cloud_functions.dead_letter import DeadLetters
from cloud_functions.event import FinalizedBatch
from cloud_functions.failure import is_passing, is_refusal, to_error
from cloud_functions.manifest import UnreadableManifestError, read_uris
from cloud_functions.settings import Settings
from contract.failures import TransientError
from contract.names import load_id

ATTEMPTS = 10
"""Job ids that one object may use up. Failed loads count against the table's 1,500 a day, so they are bounded."""
GIVE_UP_AFTER = timedelta(hours=22)
"""Eventarc forgets an event 24 hours old. Before that happens, the load leaves a record instead."""
COMES_AGAIN_AFTER = timedelta(seconds=10)
"""Eventarc's shortest wait before it delivers again. Of an older object a job is looked for before one is inserted."""
PAUSE_S = 10.0
"""The longest wait for a running load before the first question how it went."""
CALL_S = 20.0
REMEMBERED = 10_000

log = logging.getLogger(__name__)


class Loader:
    """Loads batches into their tables, each generation of an object once.

    A job id is taken for ever, so it is the lock: whoever inserts it runs the load, all others get a conflict and
    ask how the job went. Only a load that failed for a passing reason is tried again, under the next id.

    Calls of an object, once its process has seen its table: insert and one get, a wait as long as its table's last
    loads took between them; remembered in this process: none; loaded by another: one get, or insert and get within
    COMES_AGAIN_AFTER. A manifest is one more.
    """

    def __init__(
        self,
        settings: Settings,
        warehouse: bigquery.Client,
        bucket_client: StorageClient,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.warehouse = warehouse
        self.storage = bucket_client
        self.now = now
        self.retry = DEFAULT_RETRY.with_timeout(CALL_S)
        self.dead_letters = DeadLetters(bucket_client, settings.dead_letter)
        self.tables_seen: set[str] = set()
        self.loaded: dict[str, None] = {}
        self.load_s: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=10))

    def load(self, found: FinalizedBatch) -> None:
        """Return when the object is loaded, was loaded before, or has its dead-letter record.

        Raises TransientError when another delivery has to go on.
        """
        key = self._load_id(found, 0)
        if key in self.loaded:
            log.info("already loaded", extra={"object": found.uri, "job": "remembered"})
            return
        try:
            self._load(found)
        except TransientError as error:
            if found.created_at is None or self.now() - found.created_at < GIVE_UP_AFTER:
                raise
            self._give_up(found, {"reason": "gaveUp", "message": str(error)}, job=None)

    def _load(self, found: FinalizedBatch) -> None:
        old = found.created_at is not None and self.now() - found.created_at >= COMES_AGAIN_AFTER
        try:
            for attempt in range(ATTEMPTS):
                job, mine = (self._find(found, attempt) if old else None), False
                if job is None:
                    job, mine = self._submit(found, attempt)
                if self._settle(found, job, mine=mine):
                    return
        except GoogleAPICallError as error:
            if not is_refusal(error):
                raise TransientError(f"{found.uri}: {to_error(error)}") from error
            self._give_up(found, to_error(error), job=None)
        except GoogleAPIError as error:
            raise TransientError(f"{found.uri}: no answer: {error}") from error
        except UnreadableManifestError as error:
            self._give_up(found, {"reason": "unreadableManifest", "message": str(error)}, job=None)
        else:
            reason = {"reason": "attemptsUsedUp", "message": f"{ATTEMPTS} load jobs failed"}
            self._give_up(found, reason, job=self._load_id(found, ATTEMPTS - 1))

    def _check_table(self, found: FinalizedBatch) -> None:
        """Once a process: a missing table must not cost job ids. Its creation is the operator's, redelivery waits."""
        table = found.batch.kind.table
        if table not in self.tables_seen:
            self.warehouse.get_table(self._table(found), retry=self.retry, timeout=CALL_S)
            self.tables_seen.add(table)

    def _find(self, found: FinalizedBatch, attempt: int) -> Any | None:
        """The job of this attempt; None where no delivery has got so far, as far as one can see."""
        try:
            return self.warehouse.get_job(self._load_id(found, attempt), retry=self.retry, timeout=CALL_S)
        except NotFound:
            return None

    def _submit(self, found: FinalizedBatch, attempt: int) -> tuple[Any, bool]:
        """The job of this attempt, and whether this call has started it."""
        self._check_table(found)
        uris = read_uris(self.storage, found) if found.batch.manifest else [found.uri]
        job_id = self._load_id(found, attempt)
        try:
            job = self.warehouse.load_table_from_uri(
                uris, self._table(found), job_id=job_id, job_config=job_config(), retry=self.retry, timeout=CALL_S
            )
        except Conflict:
            return self.warehouse.get_job(job_id, retry=self.retry, timeout=CALL_S), False
        return job, True

    def _settle(self, found: FinalizedBatch, job: Any, *, mine: bool) -> bool:
        """Wait for the job. True when there is nothing more to do, False when the next attempt is due.

        A passing failure of this call's own job is not tried again at once: redelivery comes after a while.
        """
        error = self._outcome(found, job)
        if error is None:
            self._remember(self._load_id(found, 0))
            self._log_loaded(found, job, mine=mine)
        elif not is_passing(error):
            self._give_up(found, error, job=job.job_id, errors=job.errors)
        elif mine:
            self.tables_seen.discard(found.batch.kind.table)
            raise TransientError(f"{found.uri}: load job {job.job_id} failed for now: {error}")
        else:
            return False
        return True

    def _outcome(self, found: FinalizedBatch, job: Any) -> dict[str, Any] | None:
        """How the job ended: its error, or None. Raises TransientError while it runs on after the wait."""
        pause_s = min(self._pause_s(found, job), self.settings.wait_s)
        sleep(pause_s)
        try:
            job.result(retry=self.retry, timeout=self.settings.wait_s - pause_s)
        except WaitedTooLong as error:
            wait_s = self.settings.wait_s
            raise TransientError(f"{found.uri}: load job {job.job_id} still runs after {wait_s} s") from error
        except GoogleAPICallError:
            if job.error_result is None:
                raise
        return job.error_result  # type: ignore[no-any-return]

    def _pause_s(self, found: FinalizedBatch, job: Any) -> float:
        """How long a running job is left alone: a little more than the longest of its table's last loads took."""
        longest_s = max(self.load_s[found.batch.kind.table].copy(), default=0.0)
        return 0.0 if job.state == "DONE" else min(1.2 * longest_s, PAUSE_S)

    def _log_loaded(self, found: FinalizedBatch, job: Any, *, mine: bool) -> None:
        fields = {"object": found.uri, "table": found.batch.kind.table, "job": job.job_id}
        if not mine:
            log.info("already loaded", extra=fields)
            return
        load_s = _duration_s(job)
        if load_s is not None:
            self.load_s[found.batch.kind.table].append(load_s)
        log.info("loaded", extra={**fields, "rows_loaded": job.output_rows, "load_s": load_s})

    def _give_up(self, found: FinalizedBatch, error: dict[str, Any], *, job: str | None, errors: Any = None) -> None:
        record = self.dead_letters.write(found, self._load_id(found, 0), error, job=job, errors=errors)
        why = {"reason": error.get("reason"), "detail": error.get("message")}
        log.error("load given up", extra={"object": found.uri, "job": job, **why, "record": record})

    def _remember(self, key: str) -> None:
        self.loaded[key] = None
        while len(self.loaded) > REMEMBERED:
            self.loaded.pop(next(iter(self.loaded)), None)

    def _table(self, found: FinalizedBatch) -> str:
        return f"{self.warehouse.project}.{self.settings.dataset}.{found.batch.kind.table}"

    def _load_id(self, found: FinalizedBatch, attempt: int) -> str:
        return load_id(found.batch.kind.table, found.bucket, found.batch.name, found.generation, attempt)


def job_config() -> bigquery.LoadJobConfig:
    """Append Avro rows to a table that is there; fields that it does not have yet are left out."""
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.AVRO,
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        ignore_unknown_values=True,
    )
    config.use_avro_logical_types = True
    return config


def _duration_s(job: Any) -> float | None:
    return round((job.ended - job.created).total_seconds(), 3) if job.ended and job.created else None
