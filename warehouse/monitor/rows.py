"""The monitor's questions to the tables, each bounded by days."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY

from contract.failures import TransientError
from warehouse.monitor.objects import RETRY_S, UNREACHABLE
from warehouse.monitor.readings import RowsReading

CANARY = "Canary"
CANARY_VISITOR = "canary"
ASK_S = 60.0
NEAR, FAR = timedelta(days=2), timedelta(days=15)
"""How far back by event time the newest places are looked for, and where that knows nothing of a partition."""

PLACES = """
SELECT kafkaPartition, MAX(kafkaOffset) AS lastOffset, MAX(kafkaTimestamp) AS newest
FROM (
  SELECT kafkaPartition, kafkaOffset, kafkaTimestamp FROM `{dataset}.events`
  WHERE kafkaTopic = @topic AND timestamp >= @since
  UNION ALL
  SELECT kafkaPartition, kafkaOffset, kafkaTimestamp FROM `{dataset}.bad_events`
  WHERE kafkaTopic = @topic AND failedAt >= @since
)
GROUP BY kafkaPartition
"""

EVENTS = """
SELECT MAX(kafkaTimestamp) AS newest, COUNTIF(kafkaTimestamp >= @hour) AS lastHour
FROM `{dataset}.events` WHERE timestamp >= @since
"""

SESSIONS = """
SELECT MAX(lastSeen) AS newest, IFNULL(SUM(IF(correction > 0, Pageviews, 0)), 0) AS repaired
FROM `{dataset}.sessions` WHERE window_start >= @since
"""

REJECTED = """
SELECT reason, COUNTIF(failedAt >= @hour) AS lastHour, COUNTIF(failedAt >= @midnight) AS today
FROM (
  SELECT DISTINCT reason, failedAt, kafkaTopic, kafkaPartition, kafkaOffset FROM `{dataset}.bad_events`
  WHERE failedAt >= @since
)
GROUP BY reason
ORDER BY reason
"""

CANARIES = f"""
SELECT eventId, MIN(batchKey) AS batchKey FROM `{{dataset}}.events`
WHERE eventType = '{CANARY}' AND uiud = '{CANARY_VISITOR}' AND timestamp >= @since AND eventId IN UNNEST(@eventIds)
GROUP BY eventId
"""


@dataclass
class Rows:
    """The tables of one dataset. Every method raises TransientError where BigQuery does not answer."""

    client: bigquery.Client
    dataset: str
    known_ends: dict[int, int] = field(default_factory=dict)
    looked_far: bool = False

    def read(self, now: float) -> RowsReading:
        """The newest rows; what was rejected."""
        at = datetime.fromtimestamp(now, timezone.utc)
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        times = {"hour": at - timedelta(hours=1), "midnight": midnight, "since": midnight - timedelta(days=1)}
        (events,) = self._ask(EVENTS, times)
        (sessions,) = self._ask(SESSIONS, times)
        rejected = {row.reason: row for row in self._ask(REJECTED, times)}
        return RowsReading(
            newest_event_at=_seconds(events.newest),
            newest_session_at=_seconds(sessions.newest),
            rejected_last_hour={reason: row.lastHour for reason, row in rejected.items() if row.lastHour},
            rejected_today={reason: row.today for reason, row in rejected.items() if row.today},
            events_last_hour=events.lastHour,
            repaired_today=sessions.repaired,
        )

    def ends(self, topic: str, partitions: Sequence[int], now: float) -> tuple[dict[int, int], float | None]:
        """partition -> first offset that is in no table, and the newest message's time that is in one."""
        found = self._places(topic, now, NEAR)
        if not self.looked_far and not {row.kafkaPartition for row in found} >= set(partitions):
            found = self._places(topic, now, FAR)
        self.looked_far = True
        self.known_ends.update({row.kafkaPartition: row.lastOffset + 1 for row in found})
        return self.known_ends, _seconds(max((row.newest for row in found), default=None))

    def _places(self, topic: str, now: float, back: timedelta) -> list[Any]:
        since = {"since": datetime.fromtimestamp(now, timezone.utc) - back}
        return self._ask(PLACES, since, bigquery.ScalarQueryParameter("topic", "STRING", topic))

    def canaries(self, event_ids: Sequence[str], now: float) -> dict[str, str]:
        """eventId -> batchKey of those that are in events."""
        since = {"since": datetime.fromtimestamp(now, timezone.utc) - NEAR}
        ids = bigquery.ArrayQueryParameter("eventIds", "STRING", event_ids)
        return {row.eventId: row.batchKey for row in self._ask(CANARIES, since, ids)}

    def _ask(self, question: str, times: dict[str, datetime], *more: Any) -> list[Any]:
        named = [bigquery.ScalarQueryParameter(name, "TIMESTAMP", at) for name, at in times.items()
                 if f"@{name}" in question]  # fmt: skip
        config = bigquery.QueryJobConfig(query_parameters=[*named, *more])
        text = question.replace("{dataset}", self.dataset)
        retry, job_retry = DEFAULT_RETRY.with_timeout(RETRY_S), DEFAULT_JOB_RETRY.with_timeout(RETRY_S)
        try:
            return list(self.client.query_and_wait(
                text, job_config=config, retry=retry, job_retry=job_retry, api_timeout=ASK_S, wait_timeout=ASK_S
            ))  # fmt: skip
        except UNREACHABLE as error:
            said = getattr(error, "message", None) or str(error)
            raise TransientError(f"BigQuery does not answer as it should: {said[:200]}") from error


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at is not None else None
