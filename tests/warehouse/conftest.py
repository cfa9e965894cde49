"""A dataset with the product's tables, and rows put into it as the product does: Avro files, loaded."""

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from google.cloud import bigquery
from google.cloud.storage import Bucket
from google.cloud.storage import Client as StorageClient

from cloud_functions.load import job_config
from contract.names import Kind
from contract.schemas import schema
from local import storage, warehouse

START = datetime(2026, 1, 2, 10, 0, tzinfo=timezone.utc)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def event(event_id: str, minutes: float = 1, *, offset: int, **changes: Any) -> dict[str, Any]:
    """A row of events; minutes after 10:00."""
    row = {"timestamp": at(minutes), "uiud": "u", "sessionId": "s", "pageUrl": "/", "eventType": "Pageview"}
    place = {"kafkaTopic": "webevent", "kafkaPartition": 0, "kafkaOffset": offset, "kafkaTimestamp": at(minutes)}
    return {**row, **place, "eventId": event_id, "batchKey": "q/000000000000", **changes}


def session(*event_ids: str, minutes: Sequence[float] = (), batch: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of sessions with these pageviews, one a minute from 10:01 where `minutes` does not say when."""
    times = [at(minute) for minute in (minutes or range(1, len(event_ids) + 1))]
    start = times[0].replace(minute=times[0].minute // 30 * 30, second=0, microsecond=0)
    pages = [f"/{event_id}" for event_id in event_ids]
    row = {
        "uiud": "u", "sessionId": "s", "window_start": start, "window_end": start + timedelta(minutes=30),
        "Pages": pages, "referrer": ["direct"] * len(pages), "LandingPageCode": ["0"] * len(pages),
        "sessionTimestamps": times, "pageTitles": [""] * len(pages), "eventIds": list(event_ids),
        "Pageviews": len(pages), "firstSeen": times[0], "lastSeen": times[-1], "entryPage": pages[0],
        "exitPage": pages[-1], "landingReferrer": None, "robot": False, "correction": 0,
        "batchKey": f"q/{batch:012d}",
    }  # fmt: skip
    return {**row, **changes}


def bad(offset: int, reason: str = "undecodable") -> dict[str, Any]:
    """A row of bad_events."""
    return {
        "reason": reason, "stage": "streaming", "processor": "p", "processorVersion": "1", "failedAt": START,
        "payload": b"{", "eventId": None, "kafkaTopic": "webevent", "kafkaPartition": 0, "kafkaOffset": offset,
        "kafkaTimestamp": START, "batchKey": "q/000000000000",
    }  # fmt: skip


@dataclass
class Room:
    """A dataset and a bucket of one test."""

    client: bigquery.Client
    bucket: Bucket
    dataset: str
    project: str = "local"

    def load(self, kind: Kind, *rows: Mapping[str, Any]) -> None:
        """Load rows of the contract."""
        file = io.BytesIO()
        fastavro.writer(file, fastavro.parse_schema(schema(kind.schema)), rows)
        blob = self.bucket.blob(f"rows/{uuid.uuid4().hex}.avro")
        blob.upload_from_string(file.getvalue())
        table = f"{self.client.project}.{self.dataset}.{kind.table}"
        uri = f"gs://{self.bucket.name}/{blob.name}"
        self.client.load_table_from_uri(uri, table, job_config=job_config()).result()

    def ask(self, question: str) -> list[dict[str, Any]]:
        """The rows of a query; {d} is the dataset."""
        return [dict(row) for row in self.client.query_and_wait(question.replace("{d}", self.dataset))]


@pytest.fixture
def room(bigquery_url: str, emulated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    name = f"w{uuid.uuid4().hex[:12]}"
    storage.create_bucket(emulated, name)
    warehouse.apply_tables(bigquery_url, "local", name)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_url)
    yield Room(warehouse.client(bigquery_url, "local"), StorageClient(project="local").bucket(name), name)
