"""Messages as Kafka's source shows them, and streams of them, a file a batch."""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastavro
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contract.message import heartbeat, to_event_time
from contract.names import Kind
from streaming.checkpoint import Checkpoint
from streaming.publish import Publisher
from streaming.sinks import ArchiveSink, Gate, SessionsSink
from streaming.storage import FolderStore
from streaming.transform import to_archive, to_chunks, to_closed, to_rows

KAFKA_SOURCE = "value binary, topic string, partition int, offset long, timestamp timestamp"
KAFKA_TIME = datetime(2015, 5, 18, tzinfo=timezone.utc)
DELAY_S = 200
WINDOW_S = 1800


def at(text: str) -> int:
    """Milliseconds since the epoch of a time of 2015-05-17, e.g. at("10:29:59.999")."""
    time = datetime.fromisoformat(f"2015-05-17 {text}").replace(tzinfo=timezone.utc)
    return round((time - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(milliseconds=1))


def pageview(time: int | str, **fields: Any) -> bytes:
    """A pageview's message; `time` is ms since epoch, or the text of the field."""
    spelled = to_event_time(time) if isinstance(time, int) else time
    given = {"timestamp": spelled, "uiud": "u1", "sessionId": "s1", "pageUrl": "/", "eventType": "Pageview", **fields}
    return json.dumps({key: value for key, value in given.items() if value is not ...}).encode()


def messages(spark: SparkSession, values: Sequence[bytes | None], *, kafka_time: datetime = KAFKA_TIME) -> DataFrame:
    """The values as rows of Kafka's source, at offsets from 0."""
    rows = [
        (None if value is None else bytearray(value), "webevent", 0, offset, kafka_time)
        for offset, value in enumerate(values)
    ]
    return spark.createDataFrame(rows, KAFKA_SOURCE)


def sessions(frame: DataFrame, *, window_s: int = WINDOW_S) -> DataFrame:
    """The session rows of a frame of messages that is no stream."""
    chunks = to_chunks(frame, window_s=window_s)
    return to_rows(to_closed(chunks, window_s=window_s), window_s=window_s)


@dataclass
class Run:
    """The two queries over folders in `root`: a file in topic/ is a batch."""

    spark: SparkSession
    root: Path
    files_per_batch: int = 1
    written: int = 0
    gate: Gate = field(default_factory=Gate)

    def send(self, *values: bytes | None) -> None:
        """Append one batch to the topic."""
        folder = self.root / "topic"
        folder.mkdir(exist_ok=True)
        target = folder / f"{self.written:06d}.json"
        texts = [None if value is None else base64.b64encode(value).decode() for value in values]
        target.write_text("".join(json.dumps({"text": text, "offset": i}) + "\n" for i, text in enumerate(texts)))
        # The file source takes files by their time.
        os.utime(target, (1_000_000_000 + self.written, 1_000_000_000 + self.written))
        self.written += 1

    def source(self) -> DataFrame:
        """The topic as a stream, a file a batch."""
        reader = self.spark.readStream.schema("text string, offset long").option("maxFilesPerTrigger", 1)
        return reader.json(str(self.root / "topic")).select(
            F.unbase64("text").alias("value"),
            F.lit("webevent").alias("topic"),
            F.lit(0).alias("partition"),
            "offset",
            F.lit(KAFKA_TIME).alias("timestamp"),
        )

    def publisher(self, name: str, *kinds: Kind) -> Publisher:
        """The publisher of the query `name`, as the job builds it."""
        checkpoint = Checkpoint(self.spark, (self.root / "checkpoint" / name).as_uri())
        publisher = Publisher(
            FolderStore(self.root / "bucket"),
            checkpoint,
            stage=(self.root / "stage").as_uri(),
            files_per_batch=self.files_per_batch,
        )
        publisher.remove_leftovers(*kinds)
        return publisher

    def drain_sessions(self) -> list[dict[str, Any]]:
        """Run the sessions query until all is read; its progress reports, batch by batch."""
        chunks = to_chunks(self.source(), window_s=WINDOW_S)
        rows = to_closed(chunks.withWatermark("eventAt", f"{DELAY_S} seconds"), window_s=WINDOW_S)
        publisher = self.publisher("sessions", Kind.SESSIONS)
        return self._drain(rows, "sessions", SessionsSink(publisher, self.gate, window_s=WINDOW_S, delay_s=DELAY_S))

    def drain_archive(self) -> list[dict[str, Any]]:
        """Run the archive query until all is read; its progress reports."""
        sink = ArchiveSink(self.publisher("archive", Kind.EVENTS, Kind.BAD), self.gate)
        return self._drain(to_archive(self.source(), topic="webevent"), "archive", sink)

    def _drain(self, rows: DataFrame, name: str, sink: Any) -> list[dict[str, Any]]:
        writer = rows.writeStream.queryName(name).foreachBatch(sink)
        where = (self.root / "checkpoint" / name).as_uri()
        query = writer.option("checkpointLocation", where).trigger(availableNow=True).start()
        query.awaitTermination()
        return [
            json.loads(progress.json) if hasattr(progress, "json") else progress for progress in query.recentProgress
        ]

    def objects(self, prefix: str = "") -> list[str]:
        """The names of the published objects."""
        return FolderStore(self.root / "bucket").names(prefix)

    def rows(self, kind: str = "sessions") -> list[dict[str, Any]]:
        """The rows of all published objects, in the order of the objects' names."""
        return [row for name in self.objects(f"{kind}/") if name.endswith(".avro") for row in self.read(name)]

    def read(self, name: str) -> list[dict[str, Any]]:
        """The rows of one object."""
        with (self.root / "bucket" / name).open("rb") as file:
            return list(fastavro.reader(file))

    def records(self) -> list[dict[str, Any]]:
        """The batch records, in order."""
        return [json.loads((self.root / "bucket" / name).read_bytes()) for name in self.objects("batches/")]

    def forget_commit(self, name: str, batch_id: int) -> None:
        """Make the next start replay the batch, as a crash between publishing and committing does."""
        commits = self.root / "checkpoint" / name / "commits"
        for file in commits.glob(f"*{batch_id}*"):
            if file.name.strip(".").split(".")[0] == str(batch_id):
                file.unlink()


def beat(time: int) -> bytes:
    """A heartbeat's message."""
    return heartbeat(time)
