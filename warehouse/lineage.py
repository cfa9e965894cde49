"""From a batchKey to its object, the object's load jobs and the batch's record."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery
from google.cloud.storage import Bucket

from contract.names import BatchObject, Kind, load_id, parse_batch_key, record_name
from warehouse.records import PARALLEL_READS, BatchRecord, read_record


@dataclass(frozen=True)
class Published:
    """The object of a batch; generation and created_at are None where the bucket does not have it (any more)."""

    bucket: str
    name: str
    generation: int | None = None
    created_at: datetime | None = None

    @property
    def uri(self) -> str:
        """gs://bucket/name"""
        return f"gs://{self.bucket}/{self.name}"


@dataclass(frozen=True)
class Load:
    """One load job of an object: an attempt. `state` is BigQuery's, or why there is none to tell."""

    job_id: str
    state: str
    created_at: datetime | None = None
    ended_at: datetime | None = None
    rows: int | None = None
    error: str | None = None


class Lineage:
    """Looks up what stands behind batches in one bucket and one project; each batch once."""

    def __init__(self, client: bigquery.Client, bucket: Bucket) -> None:
        self.client, self.bucket = client, bucket

    def published(self, kind: Kind, batch_keys: Iterable[str]) -> dict[str, Published]:
        """batchKey -> its object of this kind; a key that is none of the contract's is left out."""
        keys = sorted(set(batch_keys))
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            found = list(pool.map(lambda key: self._published(kind, key), keys))
        return {key: made for key, made in zip(keys, found, strict=True) if made is not None}

    def _published(self, kind: Kind, batch_key: str) -> Published | None:
        parsed = parse_batch_key(batch_key)
        if parsed is None:
            return None
        forms = [BatchObject(kind, *parsed, manifest=form) for form in (False, True)]
        blobs = (self.bucket.get_blob(form.name) for form in forms)
        blob = next((blob for blob in blobs if blob is not None), None)
        if blob is None:
            return Published(self.bucket.name, forms[0].name)
        return Published(self.bucket.name, blob.name, blob.generation, blob.time_created)

    def loads(self, kind: Kind, made: Published) -> list[Load]:
        """The load jobs of the object, the first attempt first; the ids are the contract's, so no job is listed."""
        if made.generation is None:
            return []
        found: list[Load] = []
        for attempt in count():
            job_id = load_id(kind.table, made.bucket, made.name, made.generation, attempt)
            try:
                found.append(_to_load(self.client.get_job(job_id)))
            except NotFound:
                return found or [Load(job_id, "not there")]
            except Forbidden as error:
                return [*found, Load(job_id, "not visible to this account", error=error.message)]
        return found

    def record(self, batch_key: str) -> BatchRecord | None:
        """The batch's record; None where there is none. Raises ConfigError where it cannot be read as a record."""
        parsed = parse_batch_key(batch_key)
        blob = self.bucket.get_blob(record_name(*parsed)) if parsed is not None else None
        return read_record(blob) if blob is not None else None


def _to_load(job: Any) -> Load:
    error = job.error_result or {}
    rows = None if error else job.output_rows
    told = f"{error.get('reason')}: {error.get('message')}" if error else None
    return Load(job.job_id, job.state, job.created, job.ended, rows, told)
