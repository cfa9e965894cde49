"""From an event's resource to the object to load. Events come from outside, so anything may stand in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.names import BatchObject, parse_object_name

FINALIZED = "google.cloud.storage.object.v1.finalized"
UTC_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z")


@dataclass(frozen=True)
class FinalizedBatch:
    """A batch's object: what it holds and which object of the bucket it is, to the generation."""

    batch: BatchObject
    bucket: str
    generation: int
    created_at: datetime | None

    @property
    def uri(self) -> str:
        """gs://bucket/name"""
        return f"gs://{self.bucket}/{self.batch.name}"


@dataclass(frozen=True)
class Ignored:
    """Why an event leads to nothing. It is acknowledged: delivering it again could not mend it."""

    why: str
    fields: Mapping[str, object]


def parse_event(resource: Any) -> FinalizedBatch | Ignored:
    """The batch that an event's resource describes, or why it describes none."""
    if not isinstance(resource, Mapping):
        return Ignored("the event has no resource", {"given": type(resource).__name__})
    name, bucket = resource.get("name"), resource.get("bucket")
    if not isinstance(name, str) or not isinstance(bucket, str) or not name or not bucket:
        return Ignored("the event names no object", {"given": sorted(map(str, resource))[:20]})
    batch = parse_object_name(name)
    if batch is None:
        return Ignored("the object is no batch", {"bucket": bucket, "object": name[:1024]})
    generation = str(resource.get("generation"))
    if not generation.isascii() or not generation.isdigit():
        return Ignored("the event names no generation", {"bucket": bucket, "object": name})
    return FinalizedBatch(batch, bucket, int(generation), _to_time(resource.get("timeCreated")))


def _to_time(given: Any) -> datetime | None:
    """RFC 3339 in UTC as Google writes it, any number of decimals; None for anything else."""
    match = UTC_TIME.fullmatch(str(given))
    try:
        return datetime.fromisoformat(f"{match[1]}+00:00") if match else None
    except ValueError:
        return None
