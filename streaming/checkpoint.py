"""What a query's checkpoint says: its id, the offsets and watermark of each batch, what is baked in.

Read through Hadoop's FileSystem, so that it works wherever Spark can keep a checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from contract.failures import ConfigError

Spans = dict[str, dict[str, list[int]]]
"""topic -> partition -> [first offset read, first offset not read]."""


@dataclass(frozen=True)
class Planned:
    """One batch as Spark wrote it down before it began: offsets/<batch_id>.

    `watermark_ms` closes windows in this batch; the late filter of the next batch uses it too. `conf` holds the
    settings that the first batch baked into the checkpoint. `ends` is None for a source that is not Kafka.
    """

    watermark_ms: int
    conf: Mapping[str, str]
    ends: Mapping[str, Mapping[str, int]] | None


class Checkpoint:
    """One query's checkpoint folder."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self.path = path.rstrip("/")
        self.files = Files(spark)

    def query_id(self) -> str | None:
        """The query's id; None before its first start. Raises ConfigError where it is lost or unreadable."""
        name = f"{self.path}/metadata"
        if not self.files.exists(name):
            if self.batches("commits"):
                raise ConfigError(
                    f"the checkpoint {self.path} has commits but no metadata file: Spark would take a new query id "
                    f"and publish under other names; restore {name} from a copy, or start on a new checkpoint"
                )
            return None
        try:
            return str(json.loads(self.files.read(name))["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(name) from error

    def batches(self, log: str) -> list[int]:
        """The batch ids in the log `offsets` or `commits`, in order."""
        return sorted(int(name) for name in self.files.names(f"{self.path}/{log}") if name.isdigit())

    def planned(self, batch_id: int) -> Planned:
        """The batch as it was planned. Raises ConfigError naming the file where that is damaged or missing."""
        name = f"{self.path}/offsets/{batch_id}"
        try:
            version, metadata, *sources = self.files.read(name).splitlines()
            fields = json.loads(metadata)
            ends = json.loads(sources[0]) if sources and sources[0] != "-" else None
            if not version.startswith("v"):
                raise ValueError(version)
            return Planned(int(fields["batchWatermarkMs"]), fields.get("conf", {}), _kafka_offsets(ends))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(name) from error

    def spans(self, batch_id: int) -> Spans:
        """The offsets that the batch reads; empty where the source is not Kafka."""
        ends = self.planned(batch_id).ends
        if ends is None:
            return {}
        before = self.planned(batch_id - 1).ends if batch_id > 0 else self._first_offsets()
        starts = before or {}
        return {
            # A partition that came later is read from its first offset on, which is 0.
            topic: {part: [starts.get(topic, {}).get(part, 0), end] for part, end in partitions.items()}
            for topic, partitions in ends.items()
        }

    def check(self) -> None:
        """Raise ConfigError naming the file where what a restart reads first is damaged."""
        self.query_id()
        for batch_id in self.batches("offsets")[-2:]:
            self.planned(batch_id)
        for batch_id in self.batches("commits")[-1:]:
            name = f"{self.path}/commits/{batch_id}"
            if not self.files.read(name).startswith("v"):
                raise damaged(name)

    def conf(self) -> Mapping[str, str]:
        """The settings that the checkpoint has baked in; empty before its first batch."""
        batches = self.batches("offsets")
        return self.planned(batches[-1]).conf if batches else {}

    def _first_offsets(self) -> Mapping[str, Mapping[str, int]] | None:
        name = f"{self.path}/sources/0/0"
        text = self.files.read(name)
        try:
            return _kafka_offsets(json.loads(text[text.index("{") :]))
        except ValueError as error:
            raise damaged(name) from error


def damaged(name: str) -> ConfigError:
    """The failure for a checkpoint file that cannot be read."""
    return ConfigError(
        f"the checkpoint is damaged: {name} is missing or cannot be read; "
        "restore its newest copy, or start on a new checkpoint"
    )


def _kafka_offsets(given: Any) -> Mapping[str, Mapping[str, int]] | None:
    """{"topic": {"0": 42}} as it is; None for the offsets of another source."""
    if isinstance(given, dict) and all(isinstance(partitions, dict) for partitions in given.values()):
        return given
    return None


class Files:
    """The few calls of Hadoop's FileSystem that the job needs."""

    def __init__(self, spark: SparkSession) -> None:
        jvm: Any = spark._jvm
        # Looked up once: Java searches all its jars for each part of a name that is no class.
        self.to_path: Any = jvm.org.apache.hadoop.fs.Path
        self.to_text: Any = jvm.org.apache.commons.io.IOUtils.toString
        self.conf: Any = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[attr-defined]

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        return bool(self._on(path, "exists"))

    def names(self, folder: str) -> list[str]:
        """The names in the folder, in order; none where there is no folder."""
        if not self.exists(folder):
            return []
        return sorted(status.getPath().getName() for status in self._on(folder, "listStatus"))

    def read(self, path: str) -> str:
        """The file's text. Raises ConfigError naming the file where it is missing or its checksum is wrong."""
        try:
            stream = self._on(path, "open")
            try:
                return str(self.to_text(stream, "UTF-8"))
            finally:
                stream.close()
        except Py4JJavaError as error:
            raise damaged(path) from error

    def delete(self, path: str) -> None:
        """Delete the file or folder with all that is in it; nothing happens where there is none."""
        self._on(path, "delete", True)

    def _on(self, path: str, method: str, *args: Any) -> Any:
        where = self.to_path(path)
        return getattr(where.getFileSystem(self.conf), method)(where, *args)
