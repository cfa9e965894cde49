"""A warehouse to test against: the stand-in, or BigQuery itself with `pytest tests/conformance --bigquery PROJECT`."""

import io
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.storage import Bucket
from google.cloud.storage import Client as StorageClient

from local import storage, warehouse
from local.processes import Process

PROJECT = "local-project"


@dataclass
class StandIn:
    """The stand-in's process, its address and the folder of its state."""

    folder: Path
    storage_url: str
    process: Process | None = None
    url: str = ""

    def start(self) -> None:
        """Start it, with the state that is there."""
        self.process, self.url = warehouse.start(self.folder, storage_url=self.storage_url)

    def stop(self) -> None:
        """End it in good order."""
        if self.process is not None:
            self.process.stop()

    def fault(self, **given: object) -> None:
        """Switch a fault on."""
        requests.post(f"{self.url}/faults", json=given, timeout=10).raise_for_status()

    def clear(self) -> None:
        """Switch all faults off."""
        requests.delete(f"{self.url}/faults", timeout=10)
        self.fault(loadsPerTable=1500)

    def client(self) -> bigquery.Client:
        """Google's own client, pointed at it."""
        return warehouse.client(self.url, PROJECT)


@dataclass
class Warehouse:
    """A fresh dataset, a client, and a bucket that load jobs can read."""

    client: bigquery.Client
    dataset: str
    bucket: Bucket
    made: list[str] = field(default_factory=list)

    def name(self, table: str) -> str:
        """project.dataset.table"""
        return f"{self.client.project}.{self.dataset}.{table}"

    def put(self, content: bytes, name: str | None = None) -> str:
        """An object of these bytes; its gs:// address."""
        name = name or f"{self.dataset}/{uuid.uuid4().hex}.avro"
        self.bucket.blob(name).upload_from_string(content)
        self.made.append(name)
        return f"gs://{self.bucket.name}/{name}"

    def table(self, columns: str, name: str = "t") -> str:
        """A table made by DDL; its full name."""
        self.client.query_and_wait(f"CREATE TABLE `{self.name(name)}` ({columns})")
        return self.name(name)

    def load(self, uris: str | list[str], table: str, **config: Any) -> bigquery.LoadJob:
        """A load job that has ended, well or not; job_id among `config` names it."""
        job = self.begin(uris, table, **config)
        job.exception(timeout=120)
        return job

    def begin(self, uris: str | list[str], table: str, **config: Any) -> bigquery.LoadJob:
        """A load job as the product begins it."""
        job_id = config.pop("job_id", None)
        defaults = {
            "source_format": "AVRO",
            "create_disposition": "CREATE_NEVER",
            "write_disposition": "WRITE_APPEND",
            "use_avro_logical_types": True,
        }
        return self.client.load_table_from_uri(
            uris, table, job_id=job_id, job_config=bigquery.LoadJobConfig(**{**defaults, **config})
        )

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query; {d} in it is the dataset."""
        config = bigquery.QueryJobConfig(query_parameters=list(parameters))
        text = sql.replace("{d}", self.dataset)
        return [row.values() for row in self.client.query(text, job_config=config).result()]

    def value(self, expression: str, *parameters: Any) -> Any:
        """The value of one expression."""
        return self.rows(f"SELECT {expression}", *parameters)[0][0]


def avro(fields: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """An Avro file; `fields` maps names to Avro types."""
    schema = {"type": "record", "name": "Row", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
    content = io.BytesIO()
    fastavro.writer(content, fastavro.parse_schema(schema), rows, codec="deflate")
    return content.getvalue()


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The stand-in and a storage server of its own, for the whole run."""
    folder = tmp_path_factory.mktemp("bigquery")
    server, url = storage.start(folder, bucket="conformance", backend="memory")
    running = StandIn(folder, url)
    running.start()
    yield running
    running.stop()
    server.stop()


@pytest.fixture
def stand_in_only(request: pytest.FixtureRequest) -> StandIn:
    """For tests of faults, limits and crashes, which BigQuery cannot be asked for."""
    if request.config.getoption("--bigquery"):
        pytest.skip("cannot be asked of BigQuery itself")
    stand_in: StandIn = request.getfixturevalue("stand_in")
    request.addfinalizer(stand_in.clear)
    return stand_in


def open_warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A fresh dataset; on BigQuery the bucket is named by --bucket. Everything is deleted in the end."""
    project = request.config.getoption("--bigquery")
    if project:
        client = bigquery.Client(project=project)
        bucket = StorageClient(project=project).bucket(request.config.getoption("--bucket"))
    else:
        stand_in: StandIn = request.getfixturevalue("stand_in")
        client = stand_in.client()
        options = {"api_endpoint": stand_in.storage_url}
        unsigned = AnonymousCredentials()
        bucket = StorageClient(project=PROJECT, credentials=unsigned, client_options=options).bucket("conformance")
    made = Warehouse(client, f"conformance_{uuid.uuid4().hex[:12]}", bucket)
    made.client.create_dataset(made.dataset)
    yield made
    made.client.delete_dataset(made.dataset, delete_contents=True, not_found_ok=True)
    for name in made.made:
        bucket.blob(name).delete()


@pytest.fixture(name="warehouse")
def fresh_warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A fresh dataset for one test."""
    yield from open_warehouse(request)


@pytest.fixture(scope="module")
def warehouse_of_module(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """One dataset for the tests of a module that only read."""
    yield from open_warehouse(request)
