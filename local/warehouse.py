"""BigQuery's stand-in as a part of the local cloud, and the product's tables in it."""

import sys
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from contract.failures import ConfigError
from local import processes
from local.processes import HOST, ROOT, Process
from local.state import log_of
from warehouse.apply import apply


def start(state: Path, *, storage_url: str, port: int | None = None) -> tuple[Process, str]:
    """Start the stand-in; its process and address. Its data lies in `state`/bigquery."""
    chosen = processes.pick_port(port, "--bigquery-port")
    folder = state / "bigquery"
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [sys.executable, "-m", "local.bigquery", "--port", str(chosen), "--state", folder]
    command += ["--storage", storage_url]
    process = processes.start(
        "warehouse", command, log=log_of(state, "warehouse"), ready=lambda: processes.listens(chosen), cwd=ROOT
    )
    return process, f"http://{HOST}:{chosen}"


def client(url: str, project: str) -> bigquery.Client:
    """A client of the stand-in, without an account."""
    return bigquery.Client(
        project=project, credentials=AnonymousCredentials(), location="US", client_options={"api_endpoint": url}
    )


def apply_tables(url: str, project: str, dataset: str) -> None:
    """Create what is missing of the dataset, its tables and its view."""
    try:
        apply(client(url, project), dataset)
    except GoogleAPIError as error:
        raise ConfigError(f"the tables cannot be created in the warehouse at {url}: {error}") from error
