"""Faults that are told before the first batch."""

import json
import shutil
import socket
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from contract.failures import ConfigError, TransientError
from contract.names import Kind
from contract.settings import read_flags
from streaming import preflight
from streaming.checkpoint import Checkpoint
from streaming.settings import Settings
from streaming.storage import FolderStore
from tests.streaming.topic import Run, at, pageview


def settings(*flags: str) -> Settings:
    base = ("--kafka-servers", "localhost:9092", "--checkpoint", "file:///c", "--target", "file:///t")
    return read_flags(Settings, [*base, *flags], prog="streaming/main.py", description="")


def java(folder: Path, version: str) -> dict[str, str]:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return {"JAVA_HOME": str(folder)}


@pytest.mark.parametrize(
    ("version", "spark_version", "fits"),
    [
        ("11.0.2", "4.1.1", False), ("1.8.0_402", "4.1.1", False), ("17.0.15", "4.1.1", True), ("21", "4.1.2", True),
        ("1.8.0_402", "3.5.7", True), ("1.7.0_80", "3.5.7", False), ("11.0.2", "3.5.3", True),
    ],
)  # fmt: skip
def test_a_java_that_is_too_old_is_told(tmp_path: Path, version: str, spark_version: str, fits: bool) -> None:
    environ = java(tmp_path, version)
    if fits:
        preflight.check_java(environ, spark_version)
    else:
        with pytest.raises(ConfigError, match=rf"is Java \d+; Spark {spark_version} needs Java"):
            preflight.check_java(environ, spark_version)


@pytest.mark.parametrize("environ", [{"PATH": "/nowhere"}, {"JAVA_HOME": "/nowhere"}], ids=["no path", "a wrong home"])
def test_a_missing_java_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="JAVA_HOME.*; Spark 4.1.1 needs Java 17 or newer"):
        preflight.check_java(environ, "4.1.1")


def test_under_spark_submit_java_runs_already() -> None:
    preflight.check_java({"PATH": "/nowhere", "PYSPARK_GATEWAY_PORT": "1"}, "4.1.1")


@pytest.mark.spark
def test_the_jars_of_the_line_are_found(spark: SparkSession) -> None:
    preflight.check_jars(spark)


@pytest.mark.spark
def test_a_missing_jar_is_named(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preflight.NEEDED, "org.example.NotThere", "not-there")
    with pytest.raises(ConfigError, match=r"missing on Spark's class path: not-there; give spark-submit --jars"):
        preflight.check_jars(spark)


@pytest.mark.parametrize(
    ("jar", "fits"),
    [
        ("spark-sql-kafka-0-10_2.13-4.1.1.jar", True), ("spark-sql-kafka-0-10_2.13-4.1.2.jar", True),
        ("spark-sql-kafka-0-10_2.12-3.5.7.jar", False), ("spark-sql-kafka-0-10_2.13-4.0.0.jar", False),
        ("spark-avro_2.12-4.1.1.jar", False), ("spark-avro.jar", True),
        ("spark-token-provider-kafka-0-10_2.13-4.0.0.jar", True),
        ("spark-token-provider-kafka-0-10_2.12-3.5.7.jar", False),
    ],
)  # fmt: skip
def test_a_jar_of_another_line_is_told_by_its_name(jar: str, fits: bool) -> None:
    place = f"jar:file:/jars/{jar}!/org/apache/spark/X.class"
    assert preflight.is_of(place, scala="2.13", line="4.1") is fits


@pytest.mark.spark
def test_an_unreachable_broker_is_told_within_seconds(spark: SparkSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"no Kafka broker answers at {address} within 10 s"):
        preflight.check_topic(spark, "webevent", {"bootstrap.servers": address})
    assert time.monotonic() - began < 30


@pytest.mark.spark
def test_a_host_without_an_address_is_told(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="Kafka at nowhere.invalid:9092 cannot be used: No resolvable bootstrap urls"):
        preflight.check_topic(spark, "webevent", {"bootstrap.servers": "nowhere.invalid:9092"})


@pytest.mark.spark
@pytest.mark.stack
def test_a_missing_topic_is_told_with_the_nearest_one(spark: SparkSession, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("confluent_kafka", reason="the broker's topics are made with it")
    client = {"bootstrap.servers": request.getfixturevalue("kafka_servers")}
    preflight.check_topic(spark, "webevent", client)
    with pytest.raises(ConfigError, match="there is no topic webevnt at .*; did you mean webevent?"):
        preflight.check_topic(spark, "webevnt", client)


BAKED = {
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.streaming.stateStore.providerClass": preflight.PROVIDERS["rocksdb"],
}


@pytest.mark.spark
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--shuffle-partitions", "4"), "--shuffle-partitions cannot change .* with 8 .*give --shuffle-partitions 8"),
        (("--state-store", "hdfs"), "--state-store cannot change .* with rocksdb .*give --state-store rocksdb"),
    ],
)  # fmt: skip
def test_what_is_baked_into_the_checkpoint_cannot_change(
    spark: SparkSession, tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    (tmp_path / "offsets").mkdir()
    (tmp_path / "metadata").write_text('{"id":"q"}')
    metadata = json.dumps({"batchWatermarkMs": 0, "conf": BAKED})
    (tmp_path / "offsets/0").write_text(f"v1\n{metadata}\n-")
    checkpoint = Checkpoint(spark, tmp_path.as_uri())
    preflight.check_checkpoint(checkpoint, settings())
    preflight.check_checkpoint(checkpoint, settings("--shuffle-partitions", "8"))
    with pytest.raises(ConfigError, match=told):
        preflight.check_checkpoint(checkpoint, settings(*flags))


def checkpoint_of(spark: SparkSession, root: Path, batches: int) -> Checkpoint:
    """A checkpoint with so many batches of the topic webevent planned."""
    (root / "offsets").mkdir(parents=True)
    (root / "metadata").write_text('{"id":"11111111-2222-3333-4444-555555555555"}')
    for batch_id in range(batches):
        (root / f"offsets/{batch_id}").write_text(f'v1\n{{"batchWatermarkMs":0}}\n{{"webevent":{{"0":{batch_id}}}}}')
    return Checkpoint(spark, root.as_uri())


PUBLISHED = {
    "its record": "batches/v1/11111111-2222-3333-4444-555555555555/batch={}.json",
    "its object": "events/v1/11111111-2222-3333-4444-555555555555/batch={}.avro",
    "its manifest": "events/v1/11111111-2222-3333-4444-555555555555/batch={}.manifest.json",
    "its object of refused messages": "bad/v1/11111111-2222-3333-4444-555555555555/batch={}.avro",
}


@pytest.mark.spark
@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
@pytest.mark.parametrize("batches", [0, 3])
def test_a_batch_that_the_checkpoint_does_not_know_of_is_told(
    spark: SparkSession, tmp_path: Path, published: str, batches: int
) -> None:
    store = FolderStore(tmp_path / "bucket")
    checkpoint = checkpoint_of(spark, tmp_path / "checkpoint", batches)
    if batches:
        # The newest one that it knows of may have been published: a crash before the commit leaves it so.
        store.create(published.format(f"{batches - 1:012d}"), b"")
    preflight.check_goes_on(checkpoint, "webevent", store, Kind.EVENTS, Kind.BAD)
    store.create(published.format(f"{batches:012d}"), b"")
    with pytest.raises(ConfigError, match=f"is an older copy: it ends before batch {batches}, and .*={batches:012d}"):
        preflight.check_goes_on(checkpoint, "webevent", store, Kind.EVENTS, Kind.BAD)


@pytest.mark.spark
def test_an_older_copy_of_both_queries_checkpoints_is_told(spark: SparkSession, tmp_path: Path) -> None:
    run = Run(spark, tmp_path)
    kinds = {"sessions": [Kind.SESSIONS], "archive": [Kind.EVENTS, Kind.BAD]}

    def check(folder: str) -> None:
        for name, of in kinds.items():
            checkpoint = Checkpoint(spark, (tmp_path / folder / name).as_uri())
            preflight.check_goes_on(checkpoint, "webevent", FolderStore(tmp_path / "bucket"), *of)

    for number in range(2):
        run.send(pageview(at("10:00")))
        run.drain_sessions()
        run.drain_archive()
        check("checkpoint")
        shutil.copytree(tmp_path / "checkpoint", tmp_path / f"copy-{number}")
    check("copy-1")
    with pytest.raises(ConfigError, match="copy-0/sessions is an older copy"):
        check("copy-0")
    kinds.pop("sessions")
    with pytest.raises(ConfigError, match="copy-0/archive is an older copy: it ends before batch 1, and events/"):
        check("copy-0")


@pytest.mark.spark
def test_a_checkpoint_of_another_topic_is_told(spark: SparkSession, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "bucket")
    checkpoint = checkpoint_of(spark, tmp_path / "checkpoint", 1)
    with pytest.raises(ConfigError, match="--topic cannot change .*: it has read webevent; give --topic webevent, or"):
        preflight.check_goes_on(checkpoint, "webevent.backfill", store)
    new = checkpoint_of(spark, tmp_path / "new", 0)
    preflight.check_goes_on(new, "webevent.backfill", store)


PLACES = {
    "the stage on this disk": (("--checkpoint", "gs://c/x", "--stage", "file:///s"), "--stage file:///s is a disk"),
    "the checkpoint on this disk": (("--stage", "gs://s/x", "--target", "gs://t"), "--checkpoint file:///c is a disk"),
    "a stage beside a checkpoint on HDFS": (("--checkpoint", "hdfs:///c"), "cannot publish from hdfs:///c-stage"),
    "from a bucket to a folder": (("--stage", "gs://s/x"), "cannot publish from gs://s/x to file:///t"),
}  # fmt: skip


@pytest.mark.parametrize(("flags", "told"), PLACES.values(), ids=PLACES)
def test_a_folder_that_the_executors_cannot_reach_is_told(flags: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        preflight.check_places("yarn", settings(*flags))


def test_on_one_machine_its_disk_is_fine() -> None:
    for master in ("local", "local[*]", "local[2,3]"):
        preflight.check_places(master, settings())
