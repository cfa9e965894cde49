"""Batch records: what the sessions query read and published, micro-batch by micro-batch."""

import bisect
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from google.cloud.storage import Blob, Bucket

from contract.failures import ConfigError

PREFIX = "batches/v1/"
PARALLEL_READS = 16


class Fate(str, Enum):
    """What became of an accepted pageview that no session holds."""

    LATE = "late"
    """Read after the watermark had passed the end of its window: dropped, and on record as such."""
    OPEN = "open"
    """Its window is not closed yet, or no batch has read it yet."""
    LOST = "lost"
    """Read in time, its window closed, and not in the table: a fault, or a load still under way."""


@dataclass(frozen=True)
class BatchRecord:
    """One micro-batch of the sessions query, as it put itself on record when it was done.

    offsets: topic -> partition -> (first offset read, first offset not read). Times are ms since epoch.
    """

    query_id: str
    batch_id: int
    watermark_ms: int
    late_watermark_ms: int
    window_s: int
    offsets: Mapping[str, Mapping[int, tuple[int, int]]]
    object_name: str | None


def parse_record(content: bytes) -> BatchRecord:
    """The record in the bytes of its object. Raises ValueError or KeyError where it is none."""
    fields: dict[str, Any] = json.loads(content)
    offsets = {
        topic: {int(partition): (int(span[0]), int(span[1])) for partition, span in partitions.items()}
        for topic, partitions in fields["offsets"].items()
    }
    return BatchRecord(
        query_id=fields["queryId"],
        batch_id=fields["batchId"],
        watermark_ms=fields["watermarkMs"],
        late_watermark_ms=fields["lateWatermarkMs"],
        window_s=fields["window_s"],
        offsets=offsets,
        object_name=fields["object"],
    )


def read_records(bucket: Bucket, *, since: datetime | None = None) -> list[BatchRecord]:
    """The records in `bucket`, those created before `since` left out, in the order of query and batch.

    A batch that read a message made its record after that message: `since` = the oldest message asked about.
    Raises ConfigError naming the object where one cannot be read as a record.
    """
    blobs = [blob for blob in bucket.list_blobs(prefix=PREFIX) if since is None or blob.time_created >= since]
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        records = list(pool.map(read_record, blobs))
    return sorted(records, key=lambda record: (record.query_id, record.batch_id))


def read_last_records(bucket: Bucket) -> list[BatchRecord]:
    """The newest record of each sessions query, in the order of the query ids."""
    last: dict[str, Blob] = {}
    for blob in bucket.list_blobs(prefix=PREFIX):  # in the order of names, which is that of the batches
        last[blob.name.rpartition("/")[0]] = blob
    return [read_record(blob) for _, blob in sorted(last.items())]


def read_record(blob: Blob) -> BatchRecord:
    """The record in `blob`. Raises ConfigError naming the object where it holds none."""
    try:
        return parse_record(blob.download_as_bytes())
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(f"gs://{blob.bucket.name}/{blob.name} is not a batch record ({error!r})") from error


class History:
    """The batches of all sessions queries: answers what became of a message."""

    def __init__(self, records: Iterable[BatchRecord]) -> None:
        self.last: dict[str, BatchRecord] = {}
        self.spans: dict[tuple[str, int], dict[str, list[tuple[int, int, BatchRecord]]]] = {}
        for record in sorted(records, key=lambda record: (record.query_id, record.batch_id)):
            self.last[record.query_id] = record
            for topic, partitions in record.offsets.items():
                for partition, (start, end) in partitions.items():
                    if start < end:
                        queries = self.spans.setdefault((topic, partition), {})
                        queries.setdefault(record.query_id, []).append((start, end, record))

    def fate(self, topic: str, partition: int, offset: int, timestamp_ms: int) -> Fate:
        """What became of the pageview at that place, given that no session holds it.

        Where several queries read it, the worst fate counts: lost, then open, then late.
        """
        reads = self.reads(topic, partition, offset)
        fates = {_fate(record, timestamp_ms, self.last[record.query_id].watermark_ms) for record in reads}
        return next((fate for fate in (Fate.LOST, Fate.OPEN, Fate.LATE) if fate in fates), Fate.OPEN)

    def reads(self, topic: str, partition: int, offset: int) -> list[BatchRecord]:
        """The batches that read the message at that place: one of each query at most."""
        found = (_batch_of(spans, offset) for spans in self.spans.get((topic, partition), {}).values())
        return [record for record in found if record is not None]


def _batch_of(spans: list[tuple[int, int, BatchRecord]], offset: int) -> BatchRecord | None:
    at = bisect.bisect_right(spans, offset, key=lambda span: span[0]) - 1
    return spans[at][2] if at >= 0 and offset < spans[at][1] else None


def _fate(record: BatchRecord, timestamp_ms: int, last_watermark_ms: int) -> Fate:
    window_ms = record.window_s * 1000
    window_end_ms = (timestamp_ms // window_ms + 1) * window_ms
    if window_end_ms <= record.late_watermark_ms:
        return Fate.LATE
    return Fate.OPEN if window_end_ms > last_watermark_ms else Fate.LOST
