"""What is looked at before the first batch: each fault is one sentence that says what to do."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from contract.failures import ConfigError, TransientError
from contract.names import Kind, record_name
from contract.settings import nearest
from streaming.checkpoint import Checkpoint
from streaming.publish import find_published
from streaming.session import PARTITIONS, PROVIDER, PROVIDERS, is_local
from streaming.settings import Settings
from streaming.storage import Store

BROKER_WITHIN_MS = 10_000
NEEDED = {
    "org.apache.spark.sql.kafka010.KafkaSourceProvider": "spark-sql-kafka-0-10",
    "org.apache.spark.kafka010.KafkaTokenUtil": "spark-token-provider-kafka-0-10",
    "org.apache.kafka.clients.admin.AdminClient": "kafka-clients",
    "org.apache.commons.pool2.impl.GenericKeyedObjectPool": "commons-pool2",
    "org.apache.spark.sql.v2.avro.AvroDataSourceV2": "spark-avro",
}
OF_SPARK = re.compile(r"(?P<jar>spark-[a-z0-9-]+)_(?P<scala>\d+\.\d+)-(?P<line>\d+\.\d+)[.\d]*\.jar$")
OLDEST_JAVA = {3: 8, 4: 17}


def check_java(environ: Mapping[str, str], spark_version: str) -> None:
    """Raise ConfigError where no Java is found, or one too old for Spark. For a driver not begun by spark-submit."""
    if "PYSPARK_GATEWAY_PORT" in environ:
        return
    oldest = OLDEST_JAVA.get(int(spark_version.split(".")[0]), 17)
    home = environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java", path=environ.get("PATH"))
    wanted = f"Spark {spark_version} needs Java {oldest} or newer"
    if java is None:
        raise ConfigError(f"there is no java on the PATH and JAVA_HOME is not set; {wanted}")
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{java} does not run{' (JAVA_HOME is wrong)' if home else ''}; {wanted}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    if found is None or int(found[1]) < oldest:
        raise ConfigError(f"{java} is Java {found[1] if found else 'of an unknown version'}; {wanted}")


def check_jars(spark: SparkSession) -> None:
    """Raise ConfigError where a jar of the connector is missing or is one of another Spark or Scala."""
    jvm: Any = spark._jvm
    loader = jvm.org.apache.spark.util.Utils.getContextOrSparkClassLoader()
    places = {jar: loader.getResource(f"{name.replace('.', '/')}.class") for name, jar in NEEDED.items()}
    scala = ".".join(str(jvm.scala.util.Properties.versionNumberString()).split(".")[:2])
    line = ".".join(spark.version.split(".")[:2])
    hint = f"give spark-submit --jars the jars of jars/spark-{line}.txt (python jars/fetch.py --list spark-{line})"
    missing = [jar for jar, place in places.items() if place is None]
    if missing:
        raise ConfigError(f"missing on Spark's class path: {', '.join(missing)}; {hint}")
    strangers = [_jar(str(place)) for place in places.values() if not is_of(str(place), scala=scala, line=line)]
    if strangers:
        raise ConfigError(f"not for Spark {spark.version} with Scala {scala}: {', '.join(strangers)}; {hint}")


def is_of(place: str, *, scala: str, line: str) -> bool:
    """Whether the jar at the URL `place` is of this Scala and, the token provider apart, of this line of Spark.

    A jar whose name tells no version, as on the images of Dataproc, is taken as it is.
    """
    match = OF_SPARK.search(_jar(place))
    if match is None:
        return True
    stable = match["jar"] == "spark-token-provider-kafka-0-10"  # the connector uses the same of it since 3.0
    return match["scala"] == scala and (stable or match["line"] == line)


def _jar(place: str) -> str:
    return place.rsplit("!", 1)[0].rsplit("/", 1)[-1]


def check_places(master: str, settings: Settings) -> None:
    """Raise ConfigError where a folder on this machine's disk is asked for, but the executors are elsewhere."""
    stage = urlparse(settings.stage_folder)
    if stage.scheme not in ("file", "gs"):
        raise ConfigError(
            f"cannot publish from {settings.stage_folder}: give --stage as gs://bucket/folder or file:///folder"
        )
    if stage.scheme == "gs" and urlparse(settings.target).scheme == "file":
        raise ConfigError(
            f"cannot publish from {settings.stage_folder} to {settings.target}: give --stage as file:///folder"
        )
    if is_local(master):
        return
    for flag, place in (("--stage", settings.stage_folder), ("--checkpoint", settings.checkpoint)):
        if urlparse(place).scheme == "file":
            raise ConfigError(
                f"{flag} {place} is a disk of one machine, but the executors of {master} run on "
                "others; give a folder that all can reach, such as gs://bucket/folder"
            )


def check_checkpoint(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise ConfigError where the checkpoint is damaged, or was begun with settings that it has baked in otherwise."""
    checkpoint.check()
    baked = checkpoint.conf()
    asked = {PROVIDER: ("--state-store", PROVIDERS[settings.state_store])}
    if settings.shuffle_partitions is not None:
        asked[PARTITIONS] = ("--shuffle-partitions", str(settings.shuffle_partitions))
    for key, (flag, value) in asked.items():
        if baked.get(key, value) != value:
            was = {name: word for word, name in PROVIDERS.items()}.get(baked[key], baked[key])
            raise ConfigError(
                f"{flag} cannot change on the checkpoint {checkpoint.path}: its state was laid out with {was} at the "
                f"first batch, and Spark goes on with that whatever is asked; give {flag} {was}, or start on a new "
                "checkpoint"
            )


def check_goes_on(checkpoint: Checkpoint, topic: str, store: Store, *kinds: Kind) -> None:
    """Raise ConfigError where the checkpoint is of another topic, or is an older copy.

    After an older copy a batch that has been published would be planned anew, to end elsewhere, and its object taken
    for this one's: messages between the two ends would be in none.
    """
    query_id, batches = checkpoint.query_id(), checkpoint.batches("offsets")
    read = (checkpoint.planned(batches[-1]).ends if batches else None) or {topic: {}}
    if topic not in read:
        raise ConfigError(
            f"--topic cannot change on the checkpoint {checkpoint.path}: it has read {', '.join(read)}; give "
            f"--topic {', '.join(read)}, or start on a new checkpoint"
        )
    if query_id is None:
        return
    following = batches[-1] + 1 if batches else 0
    record = record_name(query_id, following)
    objects = (find_published(store, kind, query_id, following) for kind in kinds)
    published = record if store.exists(record) else next(filter(None, objects), None)
    if published is not None:
        raise ConfigError(
            f"the checkpoint {checkpoint.path} is an older copy: it ends before batch {following}, and {published} has "
            "been published; to go on from it would leave messages out. Restore the newest one, or start on a new "
            "checkpoint"
        )


def check_topic(spark: SparkSession, topic: str, client: Mapping[str, str]) -> None:
    """Raise TransientError where no broker answers within 10 s, ConfigError where there is no such topic."""
    known = _topics(spark, client)
    if topic not in known:
        visible = nearest(topic, known) if known else "it has none that this client may see"
        raise ConfigError(f"there is no topic {topic} at {client['bootstrap.servers']}; {visible}")


def _topics(spark: SparkSession, client: Mapping[str, str]) -> list[str]:
    jvm: Any = spark._jvm
    jvm.org.apache.logging.log4j.core.config.Configurator.setLevel(
        "org.apache.kafka", jvm.org.apache.logging.log4j.Level.OFF
    )
    properties = jvm.java.util.Properties()
    bounds = {"default.api.timeout.ms": str(BROKER_WITHIN_MS), "request.timeout.ms": str(BROKER_WITHIN_MS // 2)}
    for key, value in {**client, **bounds}.items():
        properties.setProperty(key, value)
    try:
        admin = jvm.org.apache.kafka.clients.admin.AdminClient.create(properties)
        try:
            return sorted(admin.listTopics().names().get())
        finally:
            admin.close(jvm.java.time.Duration.ofSeconds(0))
    except Py4JJavaError as error:
        raise _broker_fault(error, client["bootstrap.servers"]) from error
    finally:
        jvm.org.apache.logging.log4j.core.config.Configurator.setLevel(
            "org.apache.kafka", jvm.org.apache.logging.log4j.Level.WARN
        )


def _broker_fault(error: Py4JJavaError, servers: str) -> ConfigError | TransientError:
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    kind = cause.getClass().getSimpleName()
    if kind == "TimeoutException":
        return TransientError(f"no Kafka broker answers at {servers} within {BROKER_WITHIN_MS // 1000} s")
    return ConfigError(f"Kafka at {servers} cannot be used: {cause.getMessage()} ({kind})")
