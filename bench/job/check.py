"""What a program wrote, as a count and a digest that do not depend on its files, its order or its names for columns."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastavro

from bench.job.topic import CLOSING, LATE_PREFIX, Hit, digest
from contract.names import Kind

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
ARCHIVE = (Kind.EVENTS.value, Kind.BAD.value)


def check(out: Path) -> dict[str, int | str]:
    """rows, pageviews and digest of all Avro files below `out`, as topic.Expected has them; late rows apart.

    What the product's second query archives is no session, and left out.
    """
    files = [path for path in avro_files(out) if path.relative_to(out).parts[0] not in ARCHIVE]
    total: Counter[str] = Counter()
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(_read, files):
            total.update(found)
    return {
        "rows": total["rows"],
        "pageviews": total["pageviews"],
        "digest": f"{total['digest'] % 2**96:024x}",
        "late": total["late"],
        "bytes": sum(path.stat().st_size for path in files),
    }


def avro_files(out: Path) -> list[Path]:
    """All Avro files below `out`."""
    return [path for path in sorted(out.rglob("*")) if path.is_file() and is_avro(path)]


def is_avro(path: Path) -> bool:
    """By its first bytes: a program may name its files as it likes, and hide those that are not done."""
    if path.name.startswith((".", "_")):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"Obj\x01"


def _read(path: Path) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for row in read_rows(path):
        hits = list(_hits(row))
        if row["uiud"].startswith(LATE_PREFIX):
            found["late"] += len(hits)
        elif row["uiud"] != CLOSING:
            found.update(rows=1, pageviews=len(hits))
            found["digest"] += digest(row["uiud"], row["sessionId"], to_ms(row["window_start"]), hits)
    return found


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of one Avro file."""
    with path.open("rb") as file:
        yield from fastavro.reader(file)  # type: ignore[misc]


def _hits(row: Mapping[str, Any]) -> Iterator[Hit]:
    if "hits" in row:
        for hit in row["hits"]:
            yield Hit(to_ms(hit["at"]), hit["pageUrl"], hit["referrer"], hit["landingPage"])
        return
    for at, *texts in zip(row["sessionTimestamps"], row["Pages"], row["referrer"], row["LandingPageCode"], strict=True):
        yield Hit(to_ms(at), *texts)


def to_ms(at: Any) -> int:
    """A time as fastavro gives it, in ms since the epoch; some programs write their times as such numbers."""
    return at if isinstance(at, int) else (at - EPOCH) // MILLISECOND


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))
