"""Where in a micro-batch the Spark job is, by what its checkpoint, its stage and the bucket's files say."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from local.job import CHECKPOINT

POLL_S = 0.0005


class Point(str, Enum):
    """A moment between the beginning and the end of a batch, at which a crash leaves other things behind."""

    OFFSETS = "offsets written"
    WRITING = "in the Avro write"
    STAGED = "after the staged file"
    PUBLISHED = "after the published object"
    RECORDED = "before the commit"
    BETWEEN = "between two batches"


@dataclass(frozen=True)
class Files:
    """The files of one query: `kind` is what it publishes first of all, sessions or events."""

    query: str
    kind: str
    checkpoint: Path
    stage: Path
    bucket: Path

    def point(self) -> Point:
        """Where the query is, or where it was when it died."""
        batch = _newest(self.checkpoint / "offsets")
        if batch is None or (self.checkpoint / "commits" / str(batch)).exists():
            return Point.BETWEEN
        name = f"batch={batch:012d}"
        if any(self.bucket.glob(f"batches/v1/*/{name}.json")) and self.query == "sessions":
            return Point.RECORDED
        if any(self.bucket.glob(f"{self.kind}/v1/*/{name}.avro")):
            return Point.PUBLISHED
        attempts = list(self.stage.glob(f"{self.kind}/*/{name}/attempt=*"))
        if any((attempt / "_SUCCESS").exists() for attempt in attempts):
            return Point.STAGED
        return Point.WRITING if attempts else Point.OFFSETS


def files_of(state: Path, topic: str, bucket: str) -> tuple[Files, Files]:
    """The files of the sessions query and of the archive query."""
    checkpoint, stage = state / CHECKPOINT / topic, state / CHECKPOINT / f"{topic}-stage"
    objects = state / "storage" / bucket
    return (
        Files("sessions", "sessions", checkpoint / "sessions", stage, objects),
        Files("archive", "events", checkpoint / "archive", stage, objects),
    )


def wait_for(wanted: Point, files: tuple[Files, ...], timeout_s: float) -> Files | None:
    """The first query that is at that point; None when none was within `timeout_s`."""
    for found in _look(files, timeout_s):
        if found.point() is wanted:
            return found
    return None


def _look(files: tuple[Files, ...], timeout_s: float) -> Iterator[Files]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield from files
        time.sleep(POLL_S)


def _newest(folder: Path) -> int | None:
    """The highest batch in a log of the checkpoint."""
    return max((int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()), default=None)
