"""The job's settings, read from its command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlparse

from contract.failures import ConfigError
from contract.names import TOPIC
from contract.settings import count, number, one_of, seconds, setting, switch, text

AVAILABLE_NOW = "available-now"
RESERVED = {
    "bootstrap.servers": "--kafka-servers sets it",
    "group.id": "Spark gives each query its own",
    "auto.offset.reset": "--starting-offsets is for that",
    "enable.auto.commit": "Spark keeps the offsets in the checkpoint",
    "key.deserializer": "keys are read as bytes",
    "value.deserializer": "values are read as bytes",
    "interceptor.classes": "Spark does not allow it",
}
SECRET_KEY = re.compile(r"password|secret|token$|\.key$")
SECRET_VALUE = re.compile(r"(password|secret)\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class KafkaOption:
    """One setting of the Kafka client. `value` may be a reference: env:NAME or file:/path."""

    key: str
    value: str

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The value itself. Raises ConfigError where the reference leads nowhere; it never shows the value."""
        kind, _, place = self.value.partition(":")
        try:
            if kind == "env":
                return environ[place]
            if kind == "file":
                return Path(place).read_text(encoding="utf-8").strip()
        except (KeyError, OSError) as error:
            raise ConfigError(f"--kafka-option {self.key}: nothing to read at {self.value}") from error
        return self.value


def servers(given: str) -> str:
    """One or more host:port, with commas between."""
    for server in given.split(","):
        if not re.fullmatch(r"(\S+|\[[0-9a-fA-F:.]+\]):\d{1,5}", server.strip()):
            raise ValueError(f"want host:port, with commas between, got {given!r}")
    return given


def kafka_option(given: str) -> KafkaOption:
    """key=value; a secret only by reference, as key=env:NAME or key=file:/path."""
    key, equals, value = given.partition("=")
    key = key.strip().removeprefix("kafka.")
    if not equals or not key or not value:
        raise ValueError("want key=value, e.g. security.protocol=SASL_SSL")
    if key in RESERVED:
        raise ValueError(f"{key} cannot be set here: {RESERVED[key]}")
    by_reference = value.startswith(("env:", "file:"))
    if not by_reference and (SECRET_KEY.search(key) or SECRET_VALUE.search(value)):
        raise ValueError(
            f"{key} holds a secret, and a command line can be read by others; give {key}=env:NAME or =file:/path"
        )
    return KafkaOption(key, value)


def target(given: str) -> str:
    """gs://bucket or file:///folder."""
    parts = urlparse(given)
    if parts.scheme == "gs" and parts.netloc and not parts.path.strip("/"):
        return f"gs://{parts.netloc}"
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return given.rstrip("/")
    raise ValueError(f"want gs://bucket or file:///folder, got {given!r}")


def stage(given: str) -> str:
    """gs://bucket/folder or file:///folder."""
    parts = urlparse(given)
    if (parts.scheme == "gs" and parts.netloc) or (parts.scheme == "file" and not parts.netloc):
        return given.rstrip("/")
    raise ValueError(f"want gs://bucket/folder or file:///folder, got {given!r}")


def folder(given: str) -> str:
    """A folder as Hadoop addresses it: gs://, hdfs://, file:///."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*:/.+", given):
        raise ValueError(f"want an address such as gs://bucket/folder or file:///folder, got {given!r}")
    return given.rstrip("/")


def trigger(given: str) -> str:
    """A number of seconds, or available-now."""
    return given if given == AVAILABLE_NOW else str(count(given))


def starting_offsets(given: str) -> str:
    """earliest, latest, or a time with its zone: then ms since the epoch, as text."""
    if given in ("earliest", "latest"):
        return given
    try:
        at = datetime.fromisoformat(given.replace("Z", "+00:00"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"want earliest, latest, or a time such as 2026-05-17T10:00:00Z, got {given!r}")
    return str(int(at.timestamp() * 1000))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the streaming job. Times are whole seconds."""

    kafka_servers: str = setting(servers, help="Kafka's bootstrap servers, host:port with commas between")
    checkpoint: str = setting(
        folder, help="folder of the checkpoint, on any file system that Hadoop can write; each query has its own in it"
    )
    target: str = setting(target, help="where objects are published: gs://bucket or file:///folder")
    stage: str | None = setting(
        stage, default=None, help="where batches are staged before they are published; by default <checkpoint>-stage"
    )
    topic: str = setting(
        text, default=TOPIC, help="the topic to read; a backfill has a topic, a checkpoint and a run of its own"
    )
    watermark_seconds: int = setting(
        seconds, default=200, help="how late an event may be, against the newest one, and still count"
    )
    window_seconds: int = setting(number, default=1800, help="length of the windows that sessions are cut into")
    trigger: str = setting(
        trigger, default="180", help="seconds between batches, or available-now: read what is there, then end"
    )
    max_offsets_per_trigger: int = setting(
        number,
        default=10_000_000,
        help="messages a batch at most; after an outage the job catches up in batches of so many",
    )
    starting_offsets: str = setting(
        starting_offsets,
        default="earliest",
        help="where a new checkpoint begins: earliest, latest, or a time of Kafka's clock such as 2026-05-17T10:00:00Z",
    )
    shuffle_partitions: int | None = setting(
        number,
        default=None,
        help="partitions of the state, baked into the checkpoint at its first batch; by default the cores at that time",
    )
    state_store: str = setting(
        one_of("rocksdb", "hdfs"),
        default="rocksdb",
        help="where open windows are kept: rocksdb (off the heap) or hdfs (on it); baked into the checkpoint",
    )
    files_per_batch: int = setting(
        number,
        default=1,
        help="files a batch is written in; from 2 on a manifest is published, and one load reads all files",
    )
    archive: bool = setting(
        switch, default=True, help="publish every message to the tables events and bad_events as well"
    )
    kafka_option: tuple[KafkaOption, ...] = setting(
        kafka_option,
        default=(),
        repeatable=True,
        help="a setting of the Kafka client as key=value, e.g. security.protocol=SASL_SSL; a secret as key=env:NAME "
        "or key=file:/path",
    )
    restart_back_off: int | None = setting(
        seconds,
        default=None,
        help="seconds that a failed run lasts at least, so that restarts do not come too fast; by default 200, fewer "
        "than 4 in 10 minutes, and 0 on a local master",
    )

    @property
    def stage_folder(self) -> str:
        """Where attempts are staged: beside the checkpoint where nothing else is said."""
        return self.stage or f"{self.checkpoint}-stage"
