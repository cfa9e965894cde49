"""What a run ended in: the tables that people read, and the same as JSON."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from google.cloud import bigquery
from google.cloud.storage import Bucket
from rich.console import Console
from rich.table import Table

from contract.names import PAGEVIEW, TABLES, VISITS_VIEW, BatchObject, parse_object_name
from local.browser import Visit
from warehouse.accounts import Accounts
from warehouse.reconcile import show

TOP = 10

TOP_PAGES = """
SELECT page, COUNT(*) AS pageviews, COUNT(DISTINCT uiud) AS visitors
FROM `{dataset}.sessions` CROSS JOIN UNNEST(Pages) AS page
GROUP BY page ORDER BY pageviews DESC, page LIMIT @top
"""

LANDING_REFERRERS = """
SELECT landingReferrer AS referrer, COUNT(*) AS visits, SUM(Pageviews) AS pageviews
FROM `{dataset}.visits` WHERE landingReferrer IS NOT NULL
GROUP BY referrer ORDER BY visits DESC, referrer LIMIT @top
"""

VISITS = """
SELECT
  COUNT(*) AS visits,
  COUNT(DISTINCT uiud) AS visitors,
  COUNTIF(bounce) AS bounces,
  COUNTIF(robot) AS robots,
  ROUND(AVG(durationSeconds), 1) AS meanSeconds,
  ROUND(AVG(Pageviews), 2) AS meanPageviews
FROM `{dataset}.visits`
"""


VIEWS = """
SELECT
  sessions.eventIds[SAFE_OFFSET(place)] AS eventId, page,
  pageTitles[SAFE_OFFSET(place)] AS title,
  LandingPageCode[SAFE_OFFSET(place)] AS landing,
  sessions.referrer[SAFE_OFFSET(place)] AS referrer,
  sessionId
FROM `{dataset}.sessions` AS sessions CROSS JOIN UNNEST(Pages) AS page WITH OFFSET AS place
WHERE uiud = @uiud
ORDER BY sessionTimestamps[SAFE_OFFSET(place)], eventId
"""

ARCHIVED = f"""
SELECT COUNT(DISTINCT eventId) AS number FROM `{{dataset}}.events` WHERE uiud = @uiud AND eventType = '{PAGEVIEW}'
"""


@dataclass(frozen=True)
class Warehouse:
    """The tables and the bucket of one run."""

    client: bigquery.Client
    dataset: str
    bucket: Bucket

    def ask(self, question: str, *parameters: bigquery.ScalarQueryParameter) -> list[Any]:
        """The rows that answer `question`; {dataset}, @top and `parameters` are filled in."""
        top = bigquery.ScalarQueryParameter("top", "INT64", TOP)
        config = bigquery.QueryJobConfig(query_parameters=[top, *parameters])
        return list(self.client.query_and_wait(question.replace("{dataset}", self.dataset), job_config=config))

    def published(self) -> list[BatchObject]:
        """The objects that the job has published, each to be loaded once."""
        named = (parse_object_name(blob.name) for blob in self.bucket.list_blobs())
        return [batch for batch in named if batch is not None]

    def loaded(self) -> set[tuple[str, str]]:
        """(table, batchKey) of the batches whose rows are in the tables."""
        question = " UNION ALL ".join(
            f"SELECT DISTINCT '{table}' AS name, batchKey FROM `{{dataset}}.{table}`" for table in TABLES
        )
        return {(row.name, row.batchKey) for row in self.ask(question)}

    def waiting(self) -> list[BatchObject]:
        """Published objects whose rows are not in the tables yet."""
        loaded = self.loaded()
        return [batch for batch in self.published() if (batch.kind.table, batch.batch_key) not in loaded]


def to_json(warehouse: Warehouse, accounts: Accounts, seconds: float) -> dict[str, Any]:
    """The run in numbers: the accounts, then visits, files, load_jobs and seconds."""
    (visits,) = warehouse.ask(f"SELECT COUNT(*) AS number FROM `{{dataset}}.{VISITS_VIEW}`")
    loads = sum(1 for job in warehouse.client.list_jobs(all_users=True) if job.job_type == "load")
    return {
        **accounts.to_json(),
        "visits": visits.number,
        "files": len(warehouse.published()),
        "load_jobs": loads,
        "seconds": round(seconds, 1),
    }


def print_outcome(console: Console, warehouse: Warehouse, accounts: Accounts) -> None:
    """Top pages, landing referrers, visits, and the accounts."""
    console.print(_table("Top pages", warehouse.ask(TOP_PAGES)))
    console.print(_table("Where visits came from", warehouse.ask(LANDING_REFERRERS)))
    console.print(_table("Visits", warehouse.ask(VISITS)))
    show(accounts, console)


def has_archived(warehouse: Warehouse, visit: Visit) -> bool:
    """Whether the archive has as many pageviews of the visitor as the visit has views."""
    (row,) = warehouse.ask(ARCHIVED, bigquery.ScalarQueryParameter("uiud", "STRING", visit.uiud))
    return bool(row.number >= len(visit.views))


def check_visit(warehouse: Warehouse, visit: Visit) -> bool:
    """Whether the visitor's sessions are that visit: each view once, in order, with title, session and referrer."""
    rows = warehouse.ask(VIEWS, bigquery.ScalarQueryParameter("uiud", "STRING", visit.uiud))
    found = [(urlsplit(row.page).path, row.title, row.landing, row.referrer, row.sessionId) for row in rows]
    wanted = [
        (view.page, view.title, str(int(view.landing)), view.came_from if view.landing else "direct", visit.session_id)
        for view in visit.views
    ]
    return found == wanted


def print_visit(console: Console, visit: Visit, *, arrived: bool) -> None:
    """What became of the browser's visit."""
    pages = " ".join(view.page for view in visit.views)
    verdict = "each view once, in this order" if arrived else "[red]the table differs[/red]"
    console.print(f"Chromium's visit in sessions: {pages}: {verdict}", highlight=False, soft_wrap=True)


def _table(title: str, rows: list[Any]) -> Table:
    table = Table(title=title)
    for name in rows[0].keys() if rows else ():
        table.add_column(name, justify="right" if isinstance(rows[0][name], int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    return table
