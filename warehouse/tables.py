"""The questions that reconcile asks of the tables, each one statement of BigQuery SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from google.cloud import bigquery

from contract.names import PAGEVIEW
from warehouse.accounts import Day, Unmatched
from warehouse.rows import session_rows

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
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

OLDEST_UNMATCHED = """
SELECT MIN(places.kafkaTimestamp) AS oldest
FROM places LEFT JOIN counted ON places.eventId = counted.eventId WHERE counted.eventId IS NULL
"""

UNMATCHED_BY_EVENT = """
SELECT
  places.eventId AS eventId,
  ARRAY_AGG(STRUCT(places.kafkaTopic, places.kafkaPartition, places.kafkaOffset, places.timestamp)) AS copies
FROM places LEFT JOIN counted ON places.eventId = counted.eventId WHERE counted.eventId IS NULL
GROUP BY places.eventId
"""

ONE_COPY = f"""
SELECT * FROM `{{dataset}}.events`
WHERE eventType = '{PAGEVIEW}' AND timestamp >= @since AND timestamp < @until AND eventId IN UNNEST(@eventIds)
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY eventId ORDER BY timestamp, uiud, sessionId, pageUrl, referrer, landingPage, pageTitle, robot
) = 1
"""

CORRECTIONS = """
SELECT DISTINCT correction FROM `{dataset}.sessions` WHERE correction > 0
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
                to_ms(row.timestamp), row.timestamp.date().isoformat(),
            )
            for row in rows
        ]  # fmt: skip
        return copies, min((row.kafkaTimestamp for row in rows), default=None)

    def oldest_unmatched(self) -> datetime | None:
        """The oldest Kafka timestamp of the pageviews that no session holds; None where there are none."""
        (row,) = self._ask(WITH + OLDEST_UNMATCHED)
        found: datetime | None = row.oldest
        return found

    def unmatched_by_event(self) -> Iterator[list[Unmatched]]:
        """The copies of one pageview that no session holds, pageview after pageview."""
        for row in self._ask(WITH + UNMATCHED_BY_EVENT):
            yield [
                Unmatched(
                    row.eventId, copy["kafkaTopic"], copy["kafkaPartition"], copy["kafkaOffset"],
                    to_ms(copy["timestamp"]), copy["timestamp"].date().isoformat(),
                )
                for copy in row.copies
            ]  # fmt: skip

    def corrections(self) -> set[int]:
        """The numbers of the corrections that are loaded, of whatever period."""
        rows = self.client.query_and_wait(CORRECTIONS.replace("{dataset}", self.dataset))
        return {row.correction for row in rows}

    def rows(self, event_ids: Sequence[str], *, window_s: int, correction: int, batch_key: str) -> Iterator[Any]:
        """Session rows of these pageviews alone, each in one row only: of its copies the earliest counts."""
        question = session_rows(ONE_COPY, window_s=window_s, correction=correction, batch_key=batch_key)
        ids = bigquery.ArrayQueryParameter("eventIds", "STRING", event_ids)
        return self._ask(f"{question} ORDER BY window_start, uiud, sessionId", ids)

    def twice(self) -> tuple[str, ...]:
        """eventIds that stand in more than one row of sessions."""
        return tuple(row.eventId for row in self._ask(WITH + TWICE))

    def batch_keys(self) -> frozenset[str]:
        """The batches that any row of sessions came in."""
        return frozenset(row.batchKey for row in self._ask("SELECT DISTINCT batchKey FROM `{dataset}.sessions`"))

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

    def _ask(self, question: str, *parameters: bigquery.ArrayQueryParameter) -> Iterator[Any]:
        bounds = [
            bigquery.ScalarQueryParameter("since", "TIMESTAMP", _midnight(self.first_day)),
            bigquery.ScalarQueryParameter("until", "TIMESTAMP", _midnight(self.last_day + timedelta(days=1))),
        ]
        config = bigquery.QueryJobConfig(query_parameters=[*bounds, *parameters])
        return iter(self.client.query_and_wait(question.replace("{dataset}", self.dataset), job_config=config))


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, what is less left out."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.utc)
