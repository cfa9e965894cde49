"""Published objects and their load jobs, by the names and ids of the contract: no project's jobs are listed."""

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import fastavro
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY as RETRY_JOBS
from google.cloud.storage import Blob, Bucket
from google.cloud.storage.retry import DEFAULT_RETRY as RETRY_OBJECTS

from contract.failures import TransientError
from contract.names import BatchObject, Kind, load_id, parse_object_name
from warehouse.monitor.health import LOADS_A_DAY
from warehouse.monitor.readings import BucketReading, TableLoads
from warehouse.records import PARALLEL_READS, BatchRecord, read_record

CALL_S = 10.0
RETRY_S = 5.0
DAY_S = 24 * 3600.0
KEPT_S = 25 * 3600.0
"""How long an object that is loaded is remembered: its load jobs count for a day."""
DEAD_LETTERS = "dead-letter/v1/"
LETTERS_ASKED = 100
RECORDS = "batches/v1/"
BATCH = re.compile(r"/batch=([0-9]{12})\.")
BEGIN = "/batch="

UNREACHABLE = (GoogleAPIError, GoogleAuthError, OSError)
UNREADABLE = (ValueError, EOFError, KeyError, TypeError, IndexError, AttributeError)


@dataclass
class Job:
    """One load job, an attempt."""

    created_at: float
    ended_at: float | None
    state: str
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether its rows are in the table."""
        return self.state == "DONE" and not self.error


@dataclass
class Published:
    """One object, and the load jobs of its generation."""

    batch: BatchObject
    bucket: str
    generation: int
    created_at: float
    jobs: list[Job] = field(default_factory=list)

    @property
    def loaded(self) -> bool:
        """Whether a load job has brought its rows."""
        return bool(self.jobs) and self.jobs[-1].done


class Objects:
    """What a bucket holds, followed from look to look: only what is new is listed, only what waits is asked about."""

    def __init__(self, bucket: Bucket, client: bigquery.Client, dead_letters: Bucket | None = None) -> None:
        self.bucket, self.client = bucket, client
        self.dead_letters = dead_letters or bucket
        self.objects: dict[str, Published] = {}
        self.jobs_answer = True
        self._newest: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._mended: set[str] = set()

    def read(self, now: float) -> BucketReading:
        """The objects and loads of the last day. Raises TransientError where bucket or BigQuery does not answer."""
        self.list_new(now)
        self.ask_jobs()
        letters = self._read_dead_letters()
        tables = {kind.table: _sum(self._of(kind), now) for kind in Kind}
        self._forget(now)
        return BucketReading(tables, len(letters), max(letters, default=None))

    def newest_record(self, topic: str) -> tuple[float, BatchRecord] | None:
        """The newest batch record of a sessions query that reads `topic`, and when it was made."""
        try:
            blobs = [blob for folder in self._folders(RECORDS) if (blob := self._last(folder)) is not None]
        except UNREACHABLE as error:
            raise _away("Cloud Storage", error) from error
        for blob in sorted(blobs, key=lambda blob: blob.time_created, reverse=True):
            record = read_record(blob)
            if topic in record.offsets:
                return blob.time_created.timestamp(), record
        return None

    def waiting(self, kind: Kind) -> list[Published]:
        """Objects whose rows are in no table yet, the oldest first."""
        return sorted((o for o in self._of(kind) if not o.loaded), key=lambda o: o.created_at)

    def newest_load_at(self, kind: Kind) -> float:
        """When the newest load job ended well."""
        return max((o.jobs[-1].ended_at or 0.0 for o in self._of(kind) if o.loaded), default=0.0)

    def rows(self, published: Published) -> Iterator[dict[str, Any]]:
        """The rows of an object, or of all parts of a manifest."""
        names = [published.batch.name]
        try:
            if published.batch.manifest:
                uris = json.loads(self.bucket.blob(names[0]).download_as_bytes(timeout=CALL_S))["uris"]
                names = [uri.removeprefix(f"gs://{self.bucket.name}/") for uri in uris]
            for name in names:
                with self.bucket.blob(name).open("rb") as file:
                    yield from fastavro.reader(file)  # type: ignore[misc]
        except UNREACHABLE as error:
            raise _away("Cloud Storage", error) from error
        except UNREADABLE:
            return  # no batch of ours: the function sets it aside, and no row of it will be in a table

    def list_new(self, now: float) -> None:
        """Note what was published since the last look, and what was published again."""
        try:
            for kind in Kind:
                for folder in self._folders(f"{kind.value}/v1/"):
                    self._list(folder, now)
        except UNREACHABLE as error:
            raise _away("Cloud Storage", error) from error

    def _list(self, folder: str, now: float) -> None:
        if folder not in self._next:
            last = self._last(folder)
            self._next[folder] = max(0, _number(last) + 1 - LOADS_A_DAY) if last is not None else 0
        waiting = (o.batch.batch_id for name, o in self.objects.items() if name.startswith(folder) and not o.loaded)
        begin = min([*waiting, self._next[folder]])
        for blob in self._after(folder, begin):
            batch = parse_object_name(blob.name)
            created_at = blob.time_created.timestamp()
            if batch is None:
                continue
            self._next[folder] = max(self._next[folder], batch.batch_id + 1)
            known = self.objects.get(blob.name)
            if known is not None and known.generation != blob.generation:
                known.generation, known.jobs = blob.generation, []
            elif known is None and created_at > now - KEPT_S:
                self.objects[blob.name] = Published(batch, blob.bucket.name, blob.generation, created_at)

    def ask_jobs(self) -> None:
        """Ask for the load jobs of all objects that were not loaded at the last look."""
        open_ones = [published for published in self.objects.values() if not published.loaded]
        try:
            with ThreadPoolExecutor(PARALLEL_READS) as pool:
                list(pool.map(self._ask, open_ones))
            self.jobs_answer = self.jobs_answer or bool(open_ones)
        except UNREACHABLE as error:
            self.jobs_answer = False
            raise _away("BigQuery", error) from error

    def _ask(self, published: Published) -> None:
        """The attempts from the last one known on; a failed one may have a next."""
        ended = [job for job in published.jobs if job.state == "DONE"]
        while True:
            found = self._job(published, len(ended))
            if found is None:
                break
            ended.append(found)
            if found.done or found.state != "DONE":
                break
        published.jobs = ended

    def _job(self, published: Published, attempt: int) -> Job | None:
        batch = published.batch
        job_id = load_id(batch.kind.table, published.bucket, batch.name, published.generation, attempt)
        try:
            job = self.client.get_job(job_id, retry=RETRY_JOBS.with_timeout(RETRY_S), timeout=CALL_S)
        except NotFound:
            return None
        error = job.error_result or {}
        told = f"{error.get('reason')}: {error.get('message')}" if error else ""
        return Job(job.created.timestamp(), job.ended.timestamp() if job.ended else None, job.state, told)

    def _read_dead_letters(self) -> list[float]:
        """When each load was given up whose object is not loaded since; of very many, the newest are asked about."""
        try:
            found = [
                blob for blob in self._blobs(self.dead_letters, prefix=DEAD_LETTERS) if blob.name not in self._mended
            ]
            found.sort(key=lambda blob: blob.time_created, reverse=True)
            with ThreadPoolExecutor(PARALLEL_READS) as pool:
                mended = list(pool.map(self._is_mended, found[:LETTERS_ASKED]))
        except UNREACHABLE as error:
            raise _away("Cloud Storage or BigQuery", error) from error
        self._mended.update(blob.name for blob, done in zip(found, mended, strict=False) if done)
        return [blob.time_created.timestamp() for blob in found if blob.name not in self._mended]

    def _is_mended(self, record: Blob) -> bool:
        try:
            name = str(json.loads(record.download_as_bytes(timeout=CALL_S))["object"])
        except (ValueError, KeyError, TypeError):
            return False
        batch = parse_object_name(name)
        blob = self.bucket.get_blob(name, timeout=CALL_S) if batch is not None else None
        if batch is None or blob is None:
            return False
        published = self.objects.get(name) or Published(batch, self.bucket.name, blob.generation, 0.0)
        self._ask(published)
        return published.loaded

    def _folders(self, prefix: str) -> list[str]:
        listed = self._blobs(self.bucket, prefix=prefix, delimiter="/")
        list(listed)
        return sorted(listed.prefixes)

    def _last(self, folder: str) -> Blob | None:
        """The object with the highest number, in about twice log2(number) questions, or two when it is known."""
        low, step, last = self._newest.get(folder, -1), 1, None
        while (found := self._first(folder, low + step)) is not None:
            low, step, last = _number(found), step * 2, found
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            found = self._first(folder, middle)
            low, high, last = (_number(found), high, found) if found is not None else (low, middle, last)
        if low >= 0:
            self._newest[folder] = low
            last = last or self._first(folder, low)
        return last

    def _first(self, folder: str, number: int) -> Blob | None:
        return next(iter(self._after(folder, max(number, 0), limit=1)), None)

    def _after(self, folder: str, number: int, limit: int | None = None) -> Iterable[Blob]:
        begin = f"{folder.rstrip('/')}{BEGIN}{number:012d}"
        blobs = self._blobs(self.bucket, prefix=f"{folder.rstrip('/')}{BEGIN}", start_offset=begin, max_results=limit)
        return (blob for blob in blobs if BATCH.search(blob.name))

    def _blobs(self, bucket: Bucket, **asked: Any) -> Any:
        return bucket.list_blobs(timeout=CALL_S, retry=RETRY_OBJECTS.with_timeout(RETRY_S), **asked)

    def _of(self, kind: Kind) -> list[Published]:
        return [published for published in self.objects.values() if published.batch.kind is kind]

    def _forget(self, now: float) -> None:
        old = [name for name, o in self.objects.items() if o.loaded and o.created_at < now - KEPT_S]
        for name in old:
            del self.objects[name]


def _sum(objects: list[Published], now: float) -> TableLoads:
    jobs = [job for published in objects for job in published.jobs if job.created_at > now - DAY_S]
    failed = [job for job in jobs if job.error]
    worst = max(failed, key=lambda job: job.created_at, default=None)
    waiting = [published.created_at for published in objects if not published.loaded]
    return TableLoads(
        loads=len(jobs), failed=len(failed), running=sum(job.state != "DONE" for job in jobs), waiting=len(waiting),
        oldest_waiting_at=min(waiting, default=None),
        last_done_at=max((job.ended_at for job in jobs if job.done and job.ended_at), default=None),
        last_error=worst.error if worst else "", last_error_at=worst.created_at if worst else None,
    )  # fmt: skip


def _number(blob: Blob) -> int:
    match = BATCH.search(blob.name)
    return int(match[1]) if match else 0


def _away(what: str, error: Exception) -> TransientError:
    said = getattr(error, "message", None) or str(error)
    return TransientError(f"{what} does not answer as it should: {said.splitlines()[0][:200] if said else error!r}")
