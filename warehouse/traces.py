"""The questions that explain asks of the tables about one uiud, sessionId or eventId."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from google.cloud import bigquery

from contract.names import PAGEVIEW
from warehouse.accounts import Unmatched
from warehouse.tables import BEGIN, END

COPIES = 100
"""How many copies of one event are looked at; all of them are counted."""

ROWS = """
SELECT uiud, sessionId, window_start, window_end, correction, batchKey, eventIds, Pages, sessionTimestamps,
  COUNT(*) OVER () AS found
FROM `{dataset}.sessions`
WHERE window_start >= @since AND window_start < @until
  AND (uiud = @id OR sessionId = @id OR @id IN UNNEST(eventIds))
ORDER BY window_start, uiud, sessionId, correction, batchKey
LIMIT {limit}
"""

EVENTS = f"""
WITH places AS (
  SELECT
    eventId, kafkaTopic, kafkaPartition, kafkaOffset, MIN(kafkaTimestamp) AS kafkaTimestamp,
    MIN(timestamp) AS timestamp, MIN(eventType) AS eventType, MIN(pageUrl) AS pageUrl, MIN(receivedAt) AS receivedAt,
    MIN(batchKey) AS batchKey
  FROM `{{dataset}}.events`
  WHERE timestamp >= @since AND timestamp < @until AND {{which}}
  GROUP BY eventId, kafkaTopic, kafkaPartition, kafkaOffset
)
SELECT
  eventId, MIN(timestamp) AS timestamp, MIN(eventType) AS eventType, MIN(pageUrl) AS pageUrl, COUNT(*) AS copies,
  ARRAY_AGG(
    STRUCT(kafkaTopic, kafkaPartition, kafkaOffset, kafkaTimestamp, timestamp, receivedAt, batchKey)
    ORDER BY kafkaTimestamp, kafkaTopic, kafkaPartition, kafkaOffset LIMIT {COPIES}
  ) AS places,
  COUNT(*) OVER () AS found
FROM places
GROUP BY eventId
ORDER BY timestamp, eventId
LIMIT {{limit}}
"""

HELD = "eventId IN UNNEST(@ids)"
UNHELD = """(uiud = @id OR sessionId = @id OR eventId = @id) AND eventId NOT IN (
    SELECT held FROM `{dataset}.sessions` CROSS JOIN UNNEST(eventIds) AS held
    WHERE window_start >= @since AND window_start < @until
  )"""

REFUSED = """
SELECT reason, stage, kafkaTopic, kafkaPartition, kafkaOffset, MIN(failedAt) AS failedAt, MIN(batchKey) AS batchKey,
  COUNT(*) OVER () AS found
FROM `{dataset}.bad_events`
WHERE failedAt >= @since AND failedAt < @until AND eventId = @id
GROUP BY reason, stage, kafkaTopic, kafkaPartition, kafkaOffset
ORDER BY failedAt, kafkaTopic, kafkaPartition, kafkaOffset
LIMIT {limit}
"""


@dataclass(frozen=True)
class Copy:
    """One message of an event: where it lies in Kafka, since when, and the archive's batch that has it.

    received_at is the collector's clock; None where the sender wrote to Kafka itself.
    """

    topic: str
    partition: int
    offset: int
    in_kafka_at: datetime
    event_time: datetime
    received_at: datetime | None
    batch_key: str

    @property
    def place(self) -> str:
        """topic/partition/offset"""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class ArchivedEvent:
    """One event of the archive; `copies` counts its messages, of which `places` has the first ones."""

    event_id: str
    event_time: datetime
    event_type: str
    page: str
    copies: int
    places: tuple[Copy, ...]

    @property
    def is_pageview(self) -> bool:
        """Whether sessions should hold it."""
        return self.event_type == PAGEVIEW

    def unmatched(self) -> list[Unmatched]:
        """Its copies as reconcile judges them."""
        return [
            Unmatched(
                self.event_id, copy.topic, copy.partition, copy.offset,
                int(copy.event_time.timestamp() * 1000), copy.event_time.date().isoformat(),
            )
            for copy in self.places
        ]  # fmt: skip


@dataclass(frozen=True)
class SessionsRow:
    """One row of sessions; `pageviews` are (event time, page, eventId), the one asked about before the others."""

    uiud: str
    session_id: str
    window_start: datetime
    window_end: datetime
    correction: int
    batch_key: str
    pageviews: tuple[tuple[datetime, str, str], ...]


@dataclass(frozen=True)
class Refusal:
    """One message refused with a reason."""

    reason: str
    stage: str
    place: str
    failed_at: datetime
    batch_key: str


@dataclass(frozen=True)
class Traces:
    """What the tables of a period of whole UTC days have of one id.

    Each list has its first `limit` members, and comes with the number of all.
    """

    client: bigquery.Client
    dataset: str
    limit: int
    first_day: date = BEGIN
    last_day: date = END

    def rows(self, given: str) -> tuple[list[SessionsRow], int]:
        """The rows of sessions of this visitor or session, or with this pageview; by window."""
        found = list(self._ask(ROWS, given, self._period()))
        return [_to_row(row, given) for row in found], _found(found)

    def events_of(self, rows: Sequence[SessionsRow]) -> dict[str, ArchivedEvent]:
        """eventId -> the archive's messages of it, for the first `limit` pageviews of each row."""
        ids = sorted({event_id for row in rows for _, _, event_id in row.pageviews[: self.limit]})
        if not ids:
            return {}
        # A copy can have another event time; within a day of the windows it is found.
        period = (min(row.window_start for row in rows) - timedelta(days=1),
                  max(row.window_end for row in rows) + timedelta(days=1))  # fmt: skip
        question = EVENTS.replace("{which}", HELD)
        wanted = bigquery.ArrayQueryParameter("ids", "STRING", ids)
        return {row.eventId: _to_event(row) for row in self._ask(question, "", period, wanted, limit=len(ids))}

    def unheld(self, given: str) -> tuple[list[ArchivedEvent], int]:
        """The events of this visitor or session, or with this id, that no row of sessions holds; by event time."""
        found = list(self._ask(EVENTS.replace("{which}", UNHELD), given, self._period()))
        return [_to_event(row) for row in found], _found(found)

    def refused(self, given: str) -> tuple[list[Refusal], int]:
        """The refused messages with this eventId."""
        found = list(self._ask(REFUSED, given, self._period()))
        refusals = [
            Refusal(
                row.reason, row.stage, f"{row.kafkaTopic}/{row.kafkaPartition}/{row.kafkaOffset}",
                row.failedAt, row.batchKey,
            )
            for row in found
        ]  # fmt: skip
        return refusals, _found(found)

    def _period(self) -> tuple[datetime, datetime]:
        return _midnight(self.first_day), _midnight(self.last_day + timedelta(days=1))

    def _ask(
        self, question: str, given: str, period: tuple[datetime, datetime], *more: Any, limit: int | None = None
    ) -> Iterator[Any]:
        bounds = [
            bigquery.ScalarQueryParameter("since", "TIMESTAMP", period[0]),
            bigquery.ScalarQueryParameter("until", "TIMESTAMP", period[1]),
            bigquery.ScalarQueryParameter("id", "STRING", given),
        ]
        config = bigquery.QueryJobConfig(query_parameters=[*bounds, *more])
        text = question.replace("{dataset}", self.dataset).replace("{limit}", str(limit or self.limit))
        return iter(self.client.query_and_wait(text, job_config=config))


def _found(rows: Sequence[Any]) -> int:
    return int(rows[0].found) if rows else 0


def _to_row(row: Any, asked: str) -> SessionsRow:
    pageviews = sorted(
        zip(row.sessionTimestamps, row.Pages, row.eventIds, strict=True), key=lambda pageview: pageview[2] != asked
    )
    window = row.window_start, row.window_end
    return SessionsRow(row.uiud, row.sessionId, *window, row.correction, row.batchKey, tuple(pageviews))


def _to_event(row: Any) -> ArchivedEvent:
    places = tuple(_to_copy(place) for place in row.places)
    return ArchivedEvent(row.eventId, row.timestamp, row.eventType, row.pageUrl, row.copies, places)


def _to_copy(place: Any) -> Copy:
    received_ms = place["receivedAt"]
    received_at = None if received_ms is None else datetime.fromtimestamp(received_ms / 1000, timezone.utc)
    return Copy(
        place["kafkaTopic"], place["kafkaPartition"], place["kafkaOffset"], place["kafkaTimestamp"],
        place["timestamp"], received_at, place["batchKey"],
    )  # fmt: skip


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.utc)
