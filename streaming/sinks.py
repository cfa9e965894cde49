"""What foreachBatch calls: the sessions sink with its batch records, and the archive sink."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contract.names import Kind, record_name
from streaming.checkpoint import Spans
from streaming.publish import ROWS, Publisher
from streaming.transform import count_events, count_messages, to_bad_events, to_events, to_rows


class StopAskedError(Exception):
    """Ends a query that would begin one more batch after a stop; the batch is replayed at the next start."""


@dataclass
class Gate:
    """What the sinks share with the job: the wish to stop, what batches brought, and why one failed."""

    stop_asked: threading.Event = field(default_factory=threading.Event)
    results: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    failure: Exception | None = None
    last_done: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """The queries whose next batch did not begin because of the wish to stop."""

    @contextmanager
    def batch(self, query: str) -> Iterator[None]:
        """Around one batch: after a stop was asked for, each query ends the batch that runs and begins no other."""
        try:
            if query in self.last_done:
                self.refused.add(query)
                raise StopAskedError("asked to stop: this batch is left to the next start")
            yield
            if self.stop_asked.is_set():
                self.last_done.add(query)
        except StopAskedError:
            raise
        except Exception as error:
            self.failure = error
            raise


@dataclass(frozen=True)
class BatchRecord:
    """The evidence of one batch of the sessions query, by which reconcile tells late from open from lost.

    Windows that end at or before watermarkMs closed in this batch; a message whose window ends at or before
    lateWatermarkMs was late in it. Times are ms since epoch. The names are those of the published object.
    """

    queryId: str  # noqa: N815
    batchId: int  # noqa: N815
    watermarkMs: int  # noqa: N815
    lateWatermarkMs: int  # noqa: N815
    offsets: Spans
    object: str | None
    rows: int
    pageviews: int
    window_s: int
    delay_s: int


class SessionsSink:
    """Publishes closed windows, then the batch's record, also of a batch that closed none."""

    def __init__(self, publisher: Publisher, gate: Gate, *, window_s: int, delay_s: int) -> None:
        self.publisher = publisher
        self.gate = gate
        self.window_s = window_s
        self.delay_s = delay_s

    def __call__(self, closed: DataFrame, batch_id: int) -> None:
        """Publish the batch; raises on any failure, so that Spark replays it."""
        with self.gate.batch("sessions"):
            self.gate.results["sessions", batch_id] = self._publish(closed, batch_id)

    def _publish(self, closed: DataFrame, batch_id: int) -> dict[str, Any]:
        rows = to_rows(closed, window_s=self.window_s, files=self.publisher.files_per_batch)
        counts = {ROWS: F.count(F.lit(1)), "pageviews": F.sum("Pageviews")}
        name, counted = self.publisher.publish(rows, Kind.SESSIONS, batch_id, counts=counts)
        record = self._record(batch_id, name, counted)
        content = json.dumps(asdict(record), separators=(",", ":")).encode()
        self.publisher.store.create(record_name(record.queryId, batch_id), content)
        return {"rowsOut": record.rows, "pageviews": record.pageviews, "object": name}

    def _record(self, batch_id: int, name: str | None, counted: dict[str, int]) -> BatchRecord:
        checkpoint = self.publisher.checkpoint
        return BatchRecord(
            queryId=self.publisher.query_id(),
            batchId=batch_id,
            watermarkMs=checkpoint.planned(batch_id).watermark_ms,
            # Spark drops late rows by the watermark of the batch before, and closes windows by the batch's own.
            lateWatermarkMs=checkpoint.planned(batch_id - 1).watermark_ms if batch_id > 0 else 0,
            offsets=checkpoint.spans(batch_id),
            object=name,
            rows=counted[ROWS],
            pageviews=counted["pageviews"],
            window_s=self.window_s,
            delay_s=self.delay_s,
        )


class ArchiveSink:
    """Publishes accepted messages as events and refused ones as bad events."""

    def __init__(self, publisher: Publisher, gate: Gate) -> None:
        self.publisher = publisher
        self.gate = gate

    def __call__(self, archive: DataFrame, batch_id: int) -> None:
        """Publish the batch; the refused messages take a second action only where there are any."""
        with self.gate.batch("archive"):
            spread = archive.repartition(self.publisher.files_per_batch)
            # The second action finds what the first one read, in place of reading the topic and its messages again.
            spread.persist(StorageLevel.DISK_ONLY)
            try:
                self.gate.results["archive", batch_id] = self._publish(spread, batch_id)
            finally:
                spread.unpersist()

    def _publish(self, spread: DataFrame, batch_id: int) -> dict[str, Any]:
        refused = F.col("reason").isNotNull()
        counts = {
            ROWS: F.sum(count_events()),
            "refused": F.count_if(refused),
            "messages": F.sum(count_messages()),
        }
        name, counted = self.publisher.publish(spread, Kind.EVENTS, batch_id, counts=counts, to_rows=to_events)
        bad = None
        if counted["refused"]:
            only = {ROWS: F.count(F.lit(1))}
            refusals = spread.where(refused)
            bad, _ = self.publisher.publish(refusals, Kind.BAD, batch_id, counts=only, to_rows=to_bad_events)
        # Spark's own count of rows in grows where a lost part of the batch is read again.
        return {
            "rowsIn": counted["messages"],
            "rowsOut": counted[ROWS],
            "refused": counted["refused"],
            "object": name,
            "badObject": bad,
        }
