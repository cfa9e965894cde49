"""The same sessions by Quix Streams, as its documentation says to build them.

    python bench/job/quix.py --kafka-servers S --topic T --out DIR

Tumbling windows of 30 min with 200 s of grace, collect() and final(), state in RocksDB with changelog topics, at least
once, all by Quix's defaults; a BatchingSink of our own writes an Avro file a partition and commit. One process, as an
Application is; it ends when no message has come for some seconds. `--help` alone makes its virtual environment, which
lies in .webevents/bench/quix and has quix.txt beside this file in it, so that no measured run has to.

Windows belong to the message's key, which is the visitor: a closed window is split into its sessions. Quix's way to
another key, group_by(), sends every message through one more topic; there the order of the partitions is lost, so that
pageviews become late while a backlog is read, and the closing messages no longer reach every partition. Windows close
by partition: by key, Quix's default, a visitor's last window would wait until the visitor comes again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
import venv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".webevents" / "bench" / "quix"
WANTED = Path(__file__).with_suffix(".txt")


def enter_venv() -> None:
    """Go on as the same program in the virtual environment, made anew where quix.txt is not what it was made of."""
    python, made_of = VENV / "bin" / "python", VENV / WANTED.name
    if not made_of.exists() or made_of.read_text() != WANTED.read_text():
        venv.create(VENV, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", WANTED], check=True)
        made_of.write_text(WANTED.read_text())
    os.execve(python, [str(python), *sys.argv], {**os.environ, "PYTHONPATH": str(ROOT)})


if Path(sys.prefix).resolve() != VENV.resolve():
    enter_venv()

# Quix Streams and what it needs are only in the virtual environment.
import fastavro  # noqa: E402
from confluent_kafka.admin import AdminClient  # noqa: E402
from quixstreams import Application  # noqa: E402
from quixstreams.models import JSONDeserializer  # noqa: E402
from quixstreams.models.serializers import IgnoreMessage, SerializationError  # noqa: E402
from quixstreams.sinks import BatchingSink, SinkBatch  # noqa: E402

from bench.job.limit import LISTS, REST, SCHEMA, Seconds  # noqa: E402

WINDOW = timedelta(minutes=30)
GRACE = timedelta(seconds=200)
QUIET_S = 10.0


class Pageviews(JSONDeserializer):  # type: ignore[misc]
    """Messages to hits, in the order of LISTS and with the session first; poison is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = Seconds()

    def __call__(self, value: bytes, ctx: Any) -> Any:
        try:
            event = super().__call__(value, ctx)
            text, session, url = event["timestamp"], event["sessionId"], event["pageUrl"]
            if event["eventType"] != "Pageview" or not (event["uiud"] and session and url):
                raise ValueError("no pageview")
            at_ms = self._seconds[text[:19]] + int(text[20:])
        except (KeyError, TypeError, ValueError, SerializationError) as error:
            raise IgnoreMessage from error
        return {"hit": [session, at_ms, url, *(event.get(name) or "" for name in REST)]}


class AvroSink(BatchingSink):  # type: ignore[misc]
    """One file for what a partition's windows have given since the last commit."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out

    def write(self, batch: SinkBatch) -> None:
        """Write a file that is named by its place in the topic: a batch that comes again replaces it."""
        with (self._out / f"{batch.partition}-{batch.start_offset}.avro").open("wb") as file:
            fastavro.writer(file, SCHEMA, (item.value for item in batch), codec="snappy")


def to_sessions(window: Mapping[str, Any], uiud: str, _at_ms: int, _headers: Any) -> Iterator[dict[str, Any]]:
    """A visitor's closed window as one row per session."""
    sessions: defaultdict[str, list[list[Any]]] = defaultdict(list)
    for value in window["value"]:
        session, *hit = value["hit"]
        sessions[session].append(hit)
    for session, hits in sessions.items():
        row = {"uiud": uiud, "sessionId": session, "window_start": window["start"], "Pageviews": len(hits)}
        yield row | dict(zip(LISTS, zip(*hits, strict=True), strict=True))


def run(app: Application, topic: str, out: Path) -> None:
    """Read the topic to its end."""
    pageviews = app.topic(
        topic, key_deserializer="str", value_deserializer=Pageviews(),
        timestamp_extractor=lambda value, *_: value["hit"][1] if value else 0,
    )  # fmt: skip
    windows = app.dataframe(pageviews).tumbling_window(WINDOW, grace_ms=GRACE, on_late=lambda *_: False)
    closed = windows.collect().final(closing_strategy="partition")
    closed.apply(lambda *window: list(to_sessions(*window)), expand=True, metadata=True).sink(AvroSink(out))
    app.run(timeout=QUIET_S, collect=False)


def delete_topics(servers: str, group: str) -> None:
    """Take the changelog topics of a run off the broker."""
    admin = AdminClient({"bootstrap.servers": servers})
    ours = [name for name in admin.list_topics(timeout=30).topics if group in name]
    for future in admin.delete_topics(ours).values() if ours else ():
        future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    group = f"bench-quix-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(dir=given.out.parent, prefix="quix-") as state:
        app = Application(given.kafka_servers, consumer_group=group, auto_offset_reset="earliest", state_dir=state)
        try:
            run(app, given.topic, given.out)
        finally:
            delete_topics(given.kafka_servers, group)


if __name__ == "__main__":
    main()
