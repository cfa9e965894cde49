"""What one storage event costs: calls to BigQuery and Cloud Storage, files a second, seconds for one large file.

    python -m bench.function.run [--files 200] [--large-rows 500000] [--json FILE]

The real function in its host, over fake-gcs-server and the stand-in for BigQuery, a counting proxy before each of the
two. Every case is counted for itself, retries of Google's clients included.
"""

import argparse
import io
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastavro
import requests
from google.cloud import bigquery
from google.cloud.storage import Bucket, Client

from bench.function.counting import Counting
from contract.names import BatchObject, Kind
from contract.schemas import schema
from local import function_host, storage, warehouse

BUCKET = DATASET = "bench"
KIND = Kind.EVENTS
FINALIZED = "google.cloud.storage.object.v1.finalized"
AT = datetime(2026, 1, 2, 3, 0, tzinfo=timezone.utc)
LOAD_S = 3.0
"""How long the stand-in's loads are made to last where BigQuery's pace is meant: it answers the insert before."""
STEADY = 12
"""First deliveries that are counted, behind those that a new process learns its table's pace from."""
EVEN = [LOAD_S] * (1 + STEADY)
RANDOM = random.Random(7)
UNEVEN = [RANDOM.uniform(1, 5) for _ in range(4 + STEADY)]


class Bench:
    """The parts, and how an event gets to the function."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.number = folder, 0
        process, storage_url = storage.start(folder, bucket=BUCKET)
        stack.callback(process.stop)
        process, self.bigquery_url = warehouse.start(folder, storage_url=storage_url)
        stack.callback(process.stop)
        warehouse.apply_tables(self.bigquery_url, "local", DATASET)
        os.environ["STORAGE_EMULATOR_HOST"] = storage_url
        self.bucket: Bucket = Client(project="local").bucket(BUCKET)
        self.counters = (Counting(self.bigquery_url), Counting(storage_url))

    @contextmanager
    def function(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """A new process of the function, as Google starts one; gives the way to deliver an event to it."""
        self.number += 1
        variables = {
            "BIGQUERY_EMULATOR_HOST": self.counters[0].url, "STORAGE_EMULATOR_HOST": self.counters[1].url,
            "WEBEVENTS_PROJECT": "local", "WEBEVENTS_DATASET": DATASET, "WEBEVENTS_LOCATION": "US",
        }  # fmt: skip
        process, url = function_host.start(self.folder / f"function{self.number}", variables)
        try:
            yield lambda resource: deliver(url, resource)
        finally:
            process.stop()

    def put(self, batch_id: int, content: bytes, *, manifest: bool = False) -> dict[str, Any]:
        """Publish a batch's object; the resource that its event carries."""
        return self.upload(BatchObject(KIND, "bench", batch_id, manifest=manifest).name, content)

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        blob = self.bucket.blob(name)
        blob.upload_from_string(content, if_generation_match=0, timeout=600)
        now = datetime.now(timezone.utc)
        return {"bucket": BUCKET, "name": name, "generation": str(blob.generation), "timeCreated": to_text(now)}

    def count(self, act: Callable[[], object]) -> Counter[str]:
        """What `act` makes the function ask."""
        for counter in self.counters:
            counter.take()
        act()
        return sum((counter.take() for counter in self.counters), Counter())

    def loads_last(self, loads: int, seconds: float = LOAD_S) -> None:
        """Make the next loads last so many seconds."""
        fault = {"fault": "slow", "on": "jobs.insert", "times": loads, "seconds": seconds}
        requests.post(f"{self.bigquery_url}/faults", json=fault, timeout=10).raise_for_status()

    def rows(self) -> int:
        """Rows of the table."""
        client: bigquery.Client = warehouse.client(self.bigquery_url, "local")
        return int(next(iter(client.query_and_wait(f"SELECT COUNT(*) FROM `{DATASET}.{KIND.table}`")))[0])


def deliver(url: str, resource: dict[str, Any]) -> None:
    """Post the CloudEvent. Anything but a 2xx ends the bench."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": FINALIZED, "ce-source": "//storage.googleapis.com/b"}
    requests.post(url, json=resource, headers=headers, timeout=600).raise_for_status()


def to_text(at: datetime) -> str:
    """As Cloud Storage writes a time."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def older(resource: dict[str, Any]) -> dict[str, Any]:
    """The same event, as one that comes a minute after its object."""
    then = datetime.now(timezone.utc) - timedelta(seconds=60)
    return {**resource, "timeCreated": to_text(then)}


def to_avro(rows: int, first: int = 0) -> bytes:
    """An object of the archive with so many pageviews."""
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema(KIND.schema)), map(row, range(first, first + rows)), "null")
    return file.getvalue()


def row(number: int) -> dict[str, Any]:
    """One pageview of the table events."""
    filled = {field["name"]: None for field in schema(KIND.schema)["fields"]}
    return filled | {
        "eventId": f"00000000-0000-4000-8000-{number:012d}", "uiud": f"10000000-0000-4000-8000-{number % 9973:012d}",
        "sessionId": f"20000000-0000-4000-8000-{number % 9973:012d}", "eventType": "Pageview", "timestamp": AT,
        "receivedAt": 1767322800000, "pageUrl": f"https://www.example.com/products/{number % 977}?page={number % 13}",
        "pageTitle": f"Product {number % 977} - Example", "lastPageVisited": "https://www.example.com/",
        "referrer": "https://search.example.org/", "landingPage": "0", "kafkaTopic": "webevent",
        "kafkaPartition": number % 8, "kafkaOffset": number, "kafkaTimestamp": AT, "batchKey": "bench/000000000001",
    }  # fmt: skip


def count_calls(bench: Bench) -> dict[str, Counter[str]]:
    """Each kind of event, counted alone."""
    put = [bench.put(number, to_avro(10)) for number in range(5)]
    manifests = [put_manifest(bench, batch_id, files=4) for batch_id in (5, 6)]
    found = {}
    with bench.function() as send:
        bench.loads_last(2)
        found["first delivery, the process's first event"] = bench.count(lambda: send(put[0]))
        send(put[1])
        found["duplicate, same process"] = bench.count(lambda: send(put[0]))
    with bench.function() as send:
        send(put[2])
        found["duplicate, another process, within 10 s of the object"] = bench.count(lambda: send(fresh(put[0])))
        found["duplicate, another process, later"] = bench.count(lambda: send(older(put[1])))
        bench.loads_last(1)
        send(fresh(put[3]))
        send(fresh(manifests[0]))  # Google's client asks once a process for the bucket's metadata, for its traces.
        bench.loads_last(1)
        found["manifest of 4 files"] = bench.count(lambda: send(fresh(manifests[1])))
        bench.loads_last(1)
        found["first delivery that comes late"] = bench.count(lambda: send(older(put[4])))
    with bench.function() as send:
        found["duplicate, a new process's first event, later"] = bench.count(lambda: send(older(put[0])))
    with bench.function() as send:
        found["duplicate, a new process's first event, at once"] = bench.count(lambda: send(fresh(put[0])))
    return found


def put_manifest(bench: Bench, batch_id: int, *, files: int) -> dict[str, Any]:
    """A batch of so many part files; the resource of the manifest's event."""
    batch = BatchObject(KIND, "bench", batch_id, manifest=True)
    parts = [batch.part_name("a", index) for index in range(files)]
    for part in parts:
        bench.upload(part, to_avro(10))
    uris = [f"gs://{BUCKET}/{part}" for part in parts]
    return bench.put(batch_id, json.dumps({"uris": uris}).encode(), manifest=True)


def fresh(resource: dict[str, Any]) -> dict[str, Any]:
    """The same event, as one that comes with its object."""
    return {**resource, "timeCreated": to_text(datetime.now(timezone.utc))}


def count_steady(bench: Bench, first_id: int, paces: Sequence[float]) -> list[Counter[str]]:
    """Calls of first deliveries one after another, whose loads last so long; without those of the warm-up."""
    with bench.function() as send:
        counts = []
        for number, pace_s in enumerate(paces):
            resource = bench.put(first_id + number, to_avro(10))
            bench.loads_last(1, pace_s)
            counts.append(bench.count(lambda resource=resource: send(resource)))
        return counts[-STEADY:]


def measure_rate(bench: Bench, files: int, at_once: int) -> float:
    """Files a second, `at_once` at a time; the stand-in's loads end at once."""
    base = 1000 * at_once
    put = [bench.put(base + number, to_avro(10)) for number in range(files)]
    with bench.function() as send, ThreadPoolExecutor(at_once) as pool:
        send(bench.put(base + files, to_avro(10)))
        begun = time.monotonic()
        list(pool.map(send, map(fresh, put)))
        return files / (time.monotonic() - begun)


def measure_large(bench: Bench, rows: int) -> tuple[int, float]:
    """Bytes and seconds of one large object."""
    content = to_avro(rows)
    resource = bench.put(90_000, content)
    with bench.function() as send:
        begun = time.monotonic()
        send(resource)
        return len(content), time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--large-rows", type=int, default=500_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack)
        steady = {f"loads of {LOAD_S:g} s": count_steady(bench, 100, EVEN)}
        steady["loads of 1 to 5 s"] = count_steady(bench, 200, UNEVEN)
        calls = count_calls(bench)
        rates = {at_once: measure_rate(bench, given.files, at_once) for at_once in (1, 8)}
        large_bytes, large_s = measure_large(bench, given.large_rows)
        expected = 10 * (5 + 2 * 4 + len(EVEN) + len(UNEVEN) + 2 * (given.files + 1)) + given.large_rows
        if bench.rows() != expected:
            raise SystemExit(f"the table has {bench.rows()} rows, not {expected}: something was loaded twice or not")
    found = {"calls": calls, "steady": steady, "files_per_s": rates, "large": {"bytes": large_bytes, "s": large_s}}
    report(found, given.large_rows)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def report(found: dict[str, Any], large_rows: int) -> None:
    print("| event | calls | which |\n|---|---|---|")
    for pace, counts in found["steady"].items():
        each = {name: round(number / len(counts), 2) for name, number in sum(counts, Counter()).items()}
        most = max(counted.total() for counted in counts)
        print(f"| first delivery, steady, {pace} | {sum(each.values()):.2f} (most {most}) | {told(each)} |")
    for event, counted in found["calls"].items():
        print(f"| {event} | {counted.total()} | {told(counted)} |")
    for at_once, rate in found["files_per_s"].items():
        print(f"\nfiles/s, {at_once} at a time: {rate:.1f}")
    large = found["large"]
    print(f"\none file of {large_rows:,} rows, {large['bytes'] / 1e6:.0f} MB: {large['s']:.1f} s")


def told(counted: dict[str, Any]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items())) or "none"


if __name__ == "__main__":
    main()
