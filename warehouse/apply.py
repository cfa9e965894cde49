"""`webevents warehouse apply`: the dataset, its tables and views, as the .sql files beside this module say."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from rich.console import Console

from contract.names import DATASET, LIVE_VIEW, VISITS_VIEW, Kind
from contract.settings import number, one_of, read_flags, setting, text
from warehouse.clients import bigquery_client, dataset_name
from warehouse.columns import missing_columns
from warehouse.live import WINDOW_S, live_view

DESCRIPTION = "Create what is missing in BigQuery, add columns that a newer version brought, and renew the views."


@dataclass(frozen=True, kw_only=True)
class ApplySettings:
    """Settings of `webevents warehouse`."""

    action: tuple[str, ...] = setting(one_of("apply"), help="what to do: apply", positional=True)
    project: str | None = setting(text, default=None, help="Google Cloud project; the account's own if not given")
    dataset: str = setting(dataset_name, default=DATASET, help="BigQuery dataset")
    location: str = setting(text, default="US", help="where a new dataset lies, e.g. EU or europe-west1")
    window_seconds: int = setting(
        number, default=WINDOW_S, help="windows' length of the job, for the view of sessions that are still open"
    )


def main(argv: Sequence[str]) -> int:
    """The command: prints a line for each table and view."""
    settings = read_flags(ApplySettings, argv, prog="webevents warehouse apply", description=DESCRIPTION)
    console = Console()
    client = bigquery_client(settings.project, settings.location)
    for line in apply(client, settings.dataset, window_s=settings.window_seconds):
        console.print(line)
    return 0


def apply(client: bigquery.Client, dataset: str, *, window_s: int = WINDOW_S) -> list[str]:
    """Bring `dataset` to what the contract says; a line for each part. Running it again changes nothing.

    Raises ConfigError where a table's column has another type than the contract's: it is never changed in place.
    """
    made = bigquery.Dataset(f"{client.project}.{dataset}")
    made.location = client.location or "US"
    client.create_dataset(made, exists_ok=True)
    return [
        *(_apply_table(client, dataset, kind) for kind in Kind),
        _apply_view(client, dataset, VISITS_VIEW, statement(VISITS_VIEW, dataset)),
        apply_live_view(client, dataset, window_s=window_s),
    ]


def apply_live_view(client: bigquery.Client, dataset: str, *, window_s: int) -> str:
    """Renew the view sessions_live alone, for a stream whose windows have this length; the line about it."""
    return _apply_view(client, dataset, LIVE_VIEW, live_view(dataset, window_s=window_s))


def statement(name: str, dataset: str) -> str:
    """The DDL of the table or view `name`, for `dataset`."""
    return (resources.files(__package__) / f"{name}.sql").read_text(encoding="utf-8").replace("{dataset}", dataset)


def _apply_table(client: bigquery.Client, dataset: str, kind: Kind) -> str:
    full_name = f"{client.project}.{dataset}.{kind.table}"
    try:
        existing = client.get_table(full_name)
    except NotFound:
        client.query_and_wait(statement(kind.table, dataset))
        return f"{full_name}: created"
    missing = missing_columns(kind, existing.schema)
    if not missing:
        return f"{full_name}: as it should be"
    existing.schema = [*existing.schema, *missing]
    client.update_table(existing, ["schema"])
    return f"{full_name}: added {', '.join(field.name for field in missing)}"


def _apply_view(client: bigquery.Client, dataset: str, name: str, ddl: str) -> str:
    client.query_and_wait(ddl)
    return f"{client.project}.{dataset}.{name}: view renewed"
