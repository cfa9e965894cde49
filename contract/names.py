"""Topics, tables, object names and load ids: built and parsed here only."""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

TOPIC = "webevent"
BACKFILL_TOPIC = "webevent.backfill"
BAD_TOPIC = "webevent.bad"

DATASET = "webevents"
VISITS_VIEW = "visits"
LIVE_VIEW = "sessions_live"

PAGEVIEW = "Pageview"
HEARTBEAT = "Heartbeat"

CORRECTIONS = "corrections"
"""Stands for the query id in the names of corrections: sessions/v1/corrections/batch=<number>.avro."""


class Kind(str, Enum):
    """What an object holds. The value is the first part of its name."""

    SESSIONS = "sessions"
    EVENTS = "events"
    BAD = "bad"

    @property
    def table(self) -> str:
        """The BigQuery table that objects of this kind are loaded into."""
        return {"sessions": "sessions", "events": "events", "bad": "bad_events"}[self.value]

    @property
    def schema(self) -> str:
        """The contract's schema of a row, for contract.schemas."""
        return {"sessions": "session", "events": "event", "bad": "bad_event"}[self.value]


TABLES = tuple(kind.table for kind in Kind)

BATCH_KEY = re.compile(r"(?P<query_id>[0-9A-Za-z-]+)/(?P<batch_id>[0-9]{12})")
BATCH_NAME = r"(?P<query_id>[0-9A-Za-z-]+)/batch=(?P<batch_id>[0-9]{12})"
OBJECT_NAME = re.compile(rf"(?P<kind>sessions|events|bad)/v1/{BATCH_NAME}\.(?P<suffix>avro|manifest\.json)")
RECORD_NAME = re.compile(rf"batches/v1/{BATCH_NAME}\.json")


@dataclass(frozen=True)
class BatchObject:
    """The one object that a micro-batch publishes for one table.

    `manifest` objects list the part files of a large batch; others hold the rows themselves.
    """

    kind: Kind
    query_id: str
    batch_id: int
    manifest: bool = False

    @property
    def name(self) -> str:
        """sessions/v1/<query_id>/batch=000000000042.avro, or .manifest.json"""
        suffix = "manifest.json" if self.manifest else "avro"
        return f"{self.kind.value}/v1/{self.query_id}/batch={self.batch_id:012d}.{suffix}"

    @property
    def batch_key(self) -> str:
        """The value of the column batchKey in the batch's rows."""
        return batch_key(self.query_id, self.batch_id)

    def part_name(self, attempt: str, index: int) -> str:
        """The name of one part file of a manifest; no trigger loads it by itself."""
        return f"parts/{self.kind.value}/v1/{self.query_id}/batch={self.batch_id:012d}/{attempt}/part-{index:05d}.avro"


def parse_object_name(name: str) -> BatchObject | None:
    """The batch object that `name` stands for; None for any other object: there is nothing to load."""
    match = OBJECT_NAME.fullmatch(name)
    if match is None:
        return None
    return BatchObject(
        Kind(match["kind"]), match["query_id"], int(match["batch_id"]), manifest=match["suffix"] != "avro"
    )


def batch_key(query_id: str, batch_id: int) -> str:
    """Lineage of a row: <query_id>/<batch_id as 12 digits>."""
    return f"{query_id}/{batch_id:012d}"


def parse_batch_key(given: str) -> tuple[str, int] | None:
    """The query id and the batch id in a row's batchKey; None for any other text."""
    match = BATCH_KEY.fullmatch(given)
    return (match["query_id"], int(match["batch_id"])) if match else None


def record_name(query_id: str, batch_id: int) -> str:
    """The name of the batch record of the sessions query: offsets read, watermark, rows published."""
    return f"batches/v1/{query_id}/batch={batch_id:012d}.json"


def load_id(table: str, bucket: str, name: str, generation: int | str, attempt: int = 0) -> str:
    """The id of the load job of one object: the same for every delivery of its event.

    A failed job keeps its id for ever, so each new try of the same object takes the next `attempt`.
    """
    digest = hashlib.sha256(f"{bucket}/{name}#{generation}".encode()).hexdigest()[:32]
    return f"webevents-{table}-{digest}-a{attempt}"


def dead_letter_name(load: str) -> str:
    """The name of the record of a load that cannot succeed; no trigger looks there."""
    return f"dead-letter/v1/{load}.json"
