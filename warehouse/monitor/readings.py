"""What is read of each stage: figures without a verdict. Times are seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.names import TABLES


@dataclass(frozen=True)
class CollectorReading:
    """One collector's own figures, counted since its start."""

    ready: bool
    spooling: bool
    stored: float
    refused: Mapping[str, float]
    server_errors: float
    spool_bytes: float
    in_flight: float
    oldest_unacknowledged_s: float | None = None


@dataclass(frozen=True)
class TopicReading:
    """The topic as the broker has it. `spans`: partition -> (first offset kept, next offset to be written)."""

    spans: Mapping[int, tuple[int, int]]
    newest_at: float | None

    @property
    def messages(self) -> int:
        """How many the broker keeps."""
        return sum(end - start for start, end in self.spans.values())


@dataclass(frozen=True)
class Backlog:
    """What a query has not read. `overtaken`: messages that the broker deleted before they were read."""

    messages: int = 0
    oldest_at: float | None = None
    overtaken: int = 0


@dataclass(frozen=True)
class SessionsReading:
    """The sessions query by its newest batch record."""

    query_id: str
    batch_id: int
    recorded_at: float
    watermark_at: float
    window_s: int
    backlog: Backlog


@dataclass(frozen=True)
class ArchiveReading:
    """The archive query by the newest places that the tables hold; heartbeats at the end are no backlog."""

    at: float
    """When the tables were asked, which is not at every look."""
    newest_at: float | None
    backlog: Backlog


@dataclass(frozen=True)
class TableLoads:
    """The load jobs of one table within the last day, and its objects without a load that is done."""

    loads: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    oldest_waiting_at: float | None = None
    last_done_at: float | None = None
    last_error: str = ""
    last_error_at: float | None = None


@dataclass(frozen=True)
class BucketReading:
    """Objects, loads, and the records of loads that were given up."""

    tables: Mapping[str, TableLoads] = field(default_factory=lambda: dict.fromkeys(TABLES, TableLoads()))
    dead_letters: int = 0
    newest_dead_letter_at: float | None = None


@dataclass(frozen=True)
class RowsReading:
    """What the tables themselves say."""

    newest_event_at: float | None
    newest_session_at: float | None
    rejected_last_hour: Mapping[str, int]
    rejected_today: Mapping[str, int]
    events_last_hour: int
    repaired_today: int


@dataclass(frozen=True)
class AccountsReading:
    """reconcile's accounts of yesterday and today."""

    accepted: int
    late: int
    open: int
    missing: int
    twice: int
    strangers: int
