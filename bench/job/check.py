"""What a program wrote, as a count and a digest that do not depend on its files, its order or its names for columns."""

import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import fastavro
import polars

from bench.job.topic import CLOSING, LATE_PREFIX, Hit, digest
from contract.names import Kind

HEADER = {
    "type": "record", "name": "header", "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
        {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
    ],
}  # fmt: skip
"""What every Avro file begins with (Avro 1.12, "Object Container Files")."""
ARCHIVE = (Kind.EVENTS.value, Kind.BAD.value)
READERS = 2
COLUMNS = ("sessionTimestamps", "Pages", "referrer", "LandingPageCode")
HIT_FIELDS = ("at", "pageUrl", "referrer", "landingPage")
"""Some programs write their hits as records, the others each column of them as a list."""
COMPARED = ("uiud", "sessionId", "window_start", "hits", *COLUMNS)


def check(out: Path) -> dict[str, int | str]:
    """rows, pageviews and digest of all Avro files below `out`, as topic.Expected has them; late rows apart."""
    files = avro_files(out)
    total: Counter[str] = Counter()
    # Polars has threads, which a forked process would lack.
    with ProcessPoolExecutor(READERS, get_context("spawn")) as pool:
        # A program may write all into one file: each process takes every other row of each.
        for found in pool.map(_read, files * READERS, [part for part in range(READERS) for _ in files]):
            total.update(found)
    return {
        "rows": total["rows"],
        "pageviews": total["pageviews"],
        "digest": f"{total['digest'] % 2**96:024x}",
        "late": total["late"],
        "bytes": sum(path.stat().st_size for path in files),
    }


def avro_files(out: Path) -> list[Path]:
    """All Avro files with rows below `out`, without those of the product's archive, in which there are no sessions."""
    files = (path for path in sorted(out.rglob("*")) if path.relative_to(out).parts[0] not in ARCHIVE)
    return [path for path in files if path.is_file() and has_rows(path)]


def has_rows(path: Path) -> bool:
    """An Avro file by its first bytes: a program may name its files as it likes, and hide those that are not done."""
    if path.name.startswith((".", "_")) or not fastavro.is_avro(str(path)):
        return False
    # Spark writes a file without a block for a batch without rows, and Polars panics at it.
    with path.open("rb") as file:
        return any(fastavro.block_reader(file))


def _read(path: Path, part: int) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for uiud, session_id, start_ms, hits in read_rows(path, part):
        if uiud.startswith(LATE_PREFIX):
            found["late"] += len(hits)
        elif uiud != CLOSING:
            found["rows"] += 1
            found["pageviews"] += len(hits)
            found["digest"] += digest(uiud, session_id, start_ms, hits)
    return found


def read_rows(path: Path, part: int) -> Iterator[tuple[str, str, int, list[Hit]]]:
    """uiud, sessionId, window's start in ms and hits of every READERS-th row of one Avro file, from row `part` on."""
    rows = _read_table(path)[part::READERS]
    lists = ["hits"] if "hits" in rows.columns else list(COLUMNS)
    counts = rows[lists[0]].list.len()
    # Raises where the lists of one row are not as long as each other.
    flat = rows.filter(counts > 0).select(lists).explode(lists)
    if lists == ["hits"]:
        flat = flat.unnest("hits").select(HIT_FIELDS)
    at, *texts = flat.get_columns()
    hits = map(Hit._make, zip(to_ms(at), *texts, strict=True))
    for uiud, session_id, start_ms, count in zip(
        rows["uiud"], rows["sessionId"], to_ms(rows["window_start"]), counts, strict=True
    ):
        yield uiud, session_id, start_ms, list(islice(hits, count))


def _read_table(path: Path) -> polars.DataFrame:
    """The columns that are compared. Rows that may be null, as Flink has them, are the one field of a row to Polars."""
    with path.open("rb") as file:
        header = fastavro.schemaless_reader(file, HEADER, None)
        schema = json.loads(header["meta"]["avro.schema"])
        if isinstance(schema, dict):
            names = {field["name"] for field in schema["fields"]}
            return polars.read_avro(path, columns=[name for name in COMPARED if name in names])
        wrapped = {"type": "record", "name": "wrapped", "fields": [{"name": "row", "type": schema}]}
        header["meta"]["avro.schema"] = json.dumps(wrapped).encode()
        whole = io.BytesIO()
        fastavro.schemaless_writer(whole, HEADER, header)
        shutil.copyfileobj(file, whole)
    whole.seek(0)
    return polars.read_avro(whole).unnest("row")


def to_ms(times: polars.Series) -> polars.Series:
    """Times as ms since the epoch; some programs write them as such numbers."""
    return times if times.dtype.is_integer() else times.dt.timestamp("ms")


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))
