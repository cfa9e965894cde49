"""The function's loader over the storage server and the warehouse's stand-in, in a dataset and a bucket of its own."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
import requests
from google.cloud import bigquery
from google.cloud.storage import Client as StorageClient

from cloud_functions.event import FinalizedBatch
from cloud_functions.load import Loader
from cloud_functions.settings import Settings
from contract.names import BatchObject, Kind, load_id
from contract.schemas import schema
from local import storage, warehouse

START = datetime(2026, 1, 2, 3, 0, tzinfo=timezone.utc)


def bad_rows(count: int) -> list[dict[str, Any]]:
    """Rows of the table bad_events."""
    row = {"reason": "undecodable", "stage": "streaming", "processor": "p", "processorVersion": "1", "failedAt": START,
           "payload": b"{", "kafkaTopic": "webevent", "kafkaPartition": 0, "kafkaTimestamp": START,
           "batchKey": "q/000000000001"}  # fmt: skip
    return [{**row, "kafkaOffset": offset} for offset in range(count)]


def to_avro(rows: Sequence[dict[str, Any]], kind: Kind = Kind.BAD) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema(kind.schema)), rows)
    return file.getvalue()


@dataclass
class Room:
    """What a test of the loader works with."""

    bigquery_url: str
    warehouse: bigquery.Client
    storage: StorageClient
    dataset: str
    bucket: str
    now: datetime = START
    calls: list[str] = field(default_factory=list)

    def loader(self, **settings: Any) -> Loader:
        """A loader as a new process would have it."""
        return Loader(Settings(dataset=self.dataset, **settings), self.warehouse, self.storage, now=lambda: self.now)

    def put(self, batch_id: int, content: bytes, *, manifest: bool = False) -> FinalizedBatch:
        batch = BatchObject(Kind.BAD, "q", batch_id, manifest=manifest)
        blob = self.storage.bucket(self.bucket).blob(batch.name)
        blob.upload_from_string(content, if_generation_match=0)
        return FinalizedBatch(batch, self.bucket, blob.generation, START)

    def rows(self) -> int:
        query = f"SELECT COUNT(*) FROM `{self.dataset}.bad_events`"
        return int(next(iter(self.warehouse.query_and_wait(query)))[0])

    def load_id(self, found: FinalizedBatch, attempt: int = 0) -> str:
        return load_id("bad_events", found.bucket, found.batch.name, found.generation, attempt)

    def jobs(self, found: FinalizedBatch) -> list[str]:
        """The ids of the object's jobs, by attempt."""
        ids = {job.job_id for job in self.warehouse.list_jobs()}
        return [job for attempt in range(12) if (job := self.load_id(found, attempt)) in ids]

    def dead_letters(self) -> list[str]:
        return [blob.name for blob in self.storage.list_blobs(self.bucket, prefix="dead-letter/")]

    def fault(self, fault: str, on: str, times: int = 1, seconds: float = 1.0) -> None:
        switch = {"fault": fault, "on": on, "times": times, "seconds": seconds}
        requests.post(f"{self.bigquery_url}/faults", json=switch, timeout=10).raise_for_status()

    def in_hours(self, hours: float) -> None:
        self.now = START + timedelta(hours=hours)


@pytest.fixture
def room(
    bigquery_url: str, emulated: str, make_tables: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    name = f"t{time.monotonic_ns()}"
    storage.create_bucket(emulated, name)
    make_tables(name)
    client = warehouse.client(bigquery_url, "local")
    made = Room(bigquery_url, client, StorageClient(project="local"), name, name)
    yield made
    requests.delete(f"{bigquery_url}/faults", timeout=10)


@pytest.fixture
def make_tables(bigquery_url: str) -> Callable[[str], None]:
    return lambda dataset: warehouse.apply_tables(bigquery_url, "local", dataset)
