"""The questions that reconcile asks of the tables, each one statement of BigQuery SQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from google.cloud import bigquery

from contract.names import PAGEVIEW
from warehouse.accounts import Day, Unmatched

BEGIN = date(1970, 1, 1)
END = date(9999, 12, 30)
LISTED = 1_000
"""How many eventIds of a kind of fault are listed; all of them are counted."""

WITH = f"""
WITH places AS (
  SELECT DISTINCT eventId, timestamp, kafkaTopic, kafkaPartition, kafkaOffset, kafkaTimestamp
  FROM `{{dataset}}.events`
  WHERE eventType = '{PAGEVIEW}' AND timestamp >= @since AND timestamp < @until
),
accepted AS (
  SELECT eventId, MIN(timestamp) AS timestamp, COUNT(*) AS copies FROM places GROUP BY eventId
),
counted AS (
  SELECT eventId, COUNT(*) AS sessionsRows
  FROM `{{dataset}}.sessions` CROSS JOIN UNNEST(eventIds) AS eventId
  WHERE window_start >= @since AND window_start < @until
  GROUP BY eventId
)
"""

DAYS = """
SELECT
  CAST(DATE(accepted.timestamp) AS STRING) AS day,
  COUNT(*) AS accepted,
  COUNTIF(counted.eventId IS NOT NULL) AS inSessions,
  SUM(accepted.copies - 1) AS duplicates
FROM accepted LEFT JOIN counted ON accepted.eventId = counted.eventId
GROUP BY day
ORDER BY day
"""

UNMATCHED = """
SELECT places.* FROM places LEFT JOIN counted ON places.eventId = counted.eventId WHERE counted.eventId IS NULL
"""

TWICE = f"""
SELECT eventId FROM counted WHERE sessionsRows > 1 ORDER BY eventId LIMIT {LISTED}
"""

STRANGERS = f"""
SELECT counted.eventId AS eventId FROM counted LEFT JOIN accepted ON counted.eventId = accepted.eventId
WHERE accepted.eventId IS NULL ORDER BY eventId LIMIT {LISTED}
"""

SESSIONS = """
SELECT COUNT(*) AS sessionsRows, IFNULL(SUM(Pageviews), 0) AS pageviews
FROM `{dataset}.sessions` WHERE window_start >= @since AND window_start < @until
"""

OTHER_EVENTS = f"""
SELECT COUNT(DISTINCT eventId) AS number FROM `{{dataset}}.events`
WHERE eventType != '{PAGEVIEW}' AND timestamp >= @since AND timestamp < @until
"""

REJECTED = """
SELECT CAST(DATE(failedAt) AS STRING) AS day, reason, COUNT(*) AS number
FROM (
  SELECT DISTINCT reason, failedAt, kafkaTopic, kafkaPartition, kafkaOffset FROM `{dataset}.bad_events`
  WHERE failedAt >= @since AND failedAt < @until
)
GROUP BY day, reason
ORDER BY day, reason
"""


@dataclass(frozen=True)
class Tables:
    """The tables of one dataset over a period of whole UTC days, the last one included."""

    client: bigquery.Client
    dataset: str
    first_day: date = BEGIN
    last_day: date = END

    def days(self) -> dict[str, Day]:
        """day -> accepted pageviews, those in sessions, and copies beyond the first."""
        return {
            row.day: Day(accepted=row.accepted, in_sessions=row.inSessions, duplicates=row.duplicates)
            for row in self._ask(WITH + DAYS)
        }

    def unmatched(self) -> tuple[list[Unmatched], datetime | None]:
        """The copies of accepted pageviews that no session holds, and the oldest Kafka timestamp among them."""
        rows = list(self._ask(WITH + UNMATCHED))
        copies = [
            Unmatched(
                row.eventId, row.kafkaTopic, row.kafkaPartition, row.kafkaOffset,
                int(row.timestamp.timestamp() * 1000), row.timestamp.date().isoformat(),
            )
            for row in rows
        ]  # fmt: skip
        return copies, min((row.kafkaTimestamp for row in rows), default=None)

    def twice(self) -> tuple[str, ...]:
        """eventIds that stand in more than one row of sessions."""
        return tuple(row.eventId for row in self._ask(WITH + TWICE))

    def strangers(self) -> tuple[str, ...]:
        """eventIds in sessions that the archive does not know."""
        return tuple(row.eventId for row in self._ask(WITH + STRANGERS))

    def sessions(self) -> tuple[int, int]:
        """Rows of sessions, and the sum of their Pageviews."""
        (row,) = self._ask(SESSIONS)
        return row.sessionsRows, row.pageviews

    def other_events(self) -> int:
        """Distinct archived events that are no pageviews."""
        (row,) = self._ask(OTHER_EVENTS)
        return int(row.number)

    def rejected(self) -> list[tuple[str, str, int]]:
        """(day, reason, messages refused)."""
        return [(row.day, row.reason, row.number) for row in self._ask(REJECTED)]

    def _ask(self, question: str) -> Iterator[Any]:
        bounds = [
            bigquery.ScalarQueryParameter("since", "TIMESTAMP", _midnight(self.first_day)),
            bigquery.ScalarQueryParameter("until", "TIMESTAMP", _midnight(self.last_day + timedelta(days=1))),
        ]
        config = bigquery.QueryJobConfig(query_parameters=bounds)
        return iter(self.client.query_and_wait(question.replace("{dataset}", self.dataset), job_config=config))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.utc)
