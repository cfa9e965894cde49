"""All that explain found about one id, and its form for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from warehouse.lineage import Load, Published
from warehouse.records import BatchRecord, Fate
from warehouse.traces import ArchivedEvent, Copy, Refusal, SessionsRow


@dataclass(frozen=True)
class RowStory:
    """One row of sessions and all that stands behind it."""

    row: SessionsRow
    made: Published | None
    loads: list[Load]
    record: BatchRecord | None


@dataclass(frozen=True)
class EventStory:
    """One event that no row holds; fate is None for a custom event. `reads`: the batches that read its first copy."""

    event: ArchivedEvent
    fate: Fate | None
    reads: list[BatchRecord]


@dataclass(frozen=True)
class Story:
    """All that is known of one id. Of each list the first ones, and in `found_*` how many there are."""

    id: str
    limit: int
    rows: list[RowStory] = field(default_factory=list)
    found_rows: int = 0
    events: dict[str, ArchivedEvent] = field(default_factory=dict)
    unheld: list[EventStory] = field(default_factory=list)
    found_unheld: int = 0
    refused: list[Refusal] = field(default_factory=list)
    found_refused: int = 0
    archive: dict[str, Published] = field(default_factory=dict)
    bad: dict[str, Published] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether anything has this id."""
        return bool(self.rows or self.unheld or self.refused)

    def to_json(self) -> dict[str, Any]:
        """The same for machines. Times are RFC 3339 in UTC; what is not there is null."""
        return {
            "id": self.id,
            "sessions_rows": self.found_rows,
            "sessions": [self._row(told) for told in self.rows],
            "events_in_no_session": self.found_unheld,
            "in_no_session": [self._unheld(told) for told in self.unheld],
            "messages_rejected": self.found_refused,
            "rejected": [self._refusal(refusal) for refusal in self.refused],
        }

    def _row(self, told: RowStory) -> dict[str, Any]:
        row = told.row
        return {
            "uiud": row.uiud,
            "sessionId": row.session_id,
            "window_start": rfc3339(row.window_start),
            "window_end": rfc3339(row.window_end),
            "correction": row.correction,
            "batchKey": row.batch_key,
            "Pageviews": len(row.pageviews),
            "object": _object(told.made),
            "loads": [_load(load) for load in told.loads],
            "batch": _record(told.record),
            "pageviews": [self._pageview(*pageview) for pageview in row.pageviews[: self.limit]],
        }

    def _pageview(self, at: datetime, page: str, event_id: str) -> dict[str, Any]:
        event = self.events.get(event_id)
        return {
            "timestamp": rfc3339(at),
            "page": page,
            "eventId": event_id,
            "sentAgain": event.copies - 1 if event else None,
            "copies": [self._copy(copy) for copy in event.places] if event else [],
        }

    def _unheld(self, told: EventStory) -> dict[str, Any]:
        event = told.event
        return {
            "eventId": event.event_id,
            "eventType": event.event_type,
            "fate": told.fate.value if told.fate else None,
            "timestamp": rfc3339(event.event_time),
            "page": event.page,
            "sentAgain": event.copies - 1,
            "copies": [self._copy(copy) for copy in event.places],
            "readBy": [_record(record) for record in told.reads],
        }

    def _copy(self, copy: Copy) -> dict[str, Any]:
        return {
            "place": copy.place,
            "inKafkaAt": rfc3339(copy.in_kafka_at),
            "receivedAt": rfc3339(copy.received_at),
            "batchKey": copy.batch_key,
            "object": _object(self.archive.get(copy.batch_key)),
        }

    def _refusal(self, refusal: Refusal) -> dict[str, Any]:
        return {
            "reason": refusal.reason,
            "stage": refusal.stage,
            "place": refusal.place,
            "failedAt": rfc3339(refusal.failed_at),
            "batchKey": refusal.batch_key,
            "object": _object(self.bad.get(refusal.batch_key)),
        }


def rfc3339(at: datetime | None) -> str | None:
    """2026-01-02T10:01:00.000Z"""
    return None if at is None else at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at_ms(epoch_ms: int) -> datetime:
    """The time so many milliseconds after the epoch."""
    return datetime.fromtimestamp(epoch_ms / 1000, timezone.utc)


def _object(made: Published | None) -> dict[str, Any] | None:
    if made is None:
        return None
    return {"uri": made.uri, "generation": made.generation, "createdAt": rfc3339(made.created_at)}


def _load(load: Load) -> dict[str, Any]:
    return {
        "job": load.job_id,
        "state": load.state,
        "createdAt": rfc3339(load.created_at),
        "endedAt": rfc3339(load.ended_at),
        "rows": load.rows,
        "error": load.error,
    }


def _record(record: BatchRecord | None) -> Mapping[str, Any] | None:
    if record is None:
        return None
    return {
        "queryId": record.query_id,
        "batchId": record.batch_id,
        "offsets": {
            topic: {str(partition): list(span) for partition, span in partitions.items()}
            for topic, partitions in record.offsets.items()
        },
        "watermark": rfc3339(at_ms(record.watermark_ms)),
        "lateWatermark": rfc3339(at_ms(record.late_watermark_ms)),
    }
