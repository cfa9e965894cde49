"""Apache Kafka: one node, KRaft, on loopback."""

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from contract.failures import ConfigError, TransientError
from contract.names import BACKFILL_TOPIC, BAD_TOPIC, TOPIC
from local import processes
from local.java import fetch_jars, find_java
from local.processes import HOST, Process
from local.state import log_of

JARS_LINE = "kafka-4.1"
PARTITIONS = 3
TOPICS = (TOPIC, BACKFILL_TOPIC, BAD_TOPIC)
READY_S = 60.0
TOPICS_S = 60

# One node has nobody to replicate to; the offsets topic would have 50 partitions, so 50 folders that nobody reads.
# A broker that was killed is let in again when its old session has ended: 9 s by default, 2 s here.
# Messages keep the sender's clock (CreateTime), and are never deleted by age: an import may bring old ones.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=CLIENTS://{host}:{clients},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENTS://{host}:{clients},CONTROLLER://{host}:{controller}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
log.dirs={log_dirs}
num.partitions={partitions}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.message.timestamp.type=CreateTime
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=8388608
"""
LOG4J = """\
appender.stdout.type=Console
appender.stdout.name=STDOUT
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=STDOUT
"""
JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
FORMAT_JVM = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def start(
    state: Path,
    *,
    port: int | None = None,
    controller_port: int | None = None,
    topics: Sequence[str] = TOPICS,
    partitions: int = PARTITIONS,
    environ: Mapping[str, str] | None = None,
) -> tuple[Process, str]:
    """Start a broker whose data lies in `state`/kafka, with `topics` created; its process and address.

    A port of None is chosen free. A second start on the same state finds the topics and their messages again.
    """
    environ = dict(os.environ if environ is None else environ)
    java, jars = find_java(environ), fetch_jars(JARS_LINE, environ)
    clients = processes.pick_port(port, "--kafka-port")
    controller = processes.pick_port(controller_port, "--controller-port")
    home = state / "kafka"
    _write_config(home, clients, controller, partitions)
    if not (home / "data" / "meta.properties").is_file():
        _format(java, jars, home)
    servers = f"{HOST}:{clients}"
    process = processes.start(
        "broker", [java, *JVM, *_program(jars, home, "kafka.Kafka"), home / "server.properties"],
        log=log_of(state, "broker"), ready=lambda: processes.listens(clients), timeout_s=READY_S, environ=environ,
    )  # fmt: skip
    try:
        create_topics(servers, topics, partitions)
    except BaseException:
        process.kill()
        raise
    return process, servers


def _write_config(home: Path, clients: int, controller: int, partitions: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    properties = PROPERTIES.format(
        host=HOST, clients=clients, controller=controller, partitions=partitions, log_dirs=home / "data"
    )
    (home / "server.properties").write_text(properties, encoding="utf-8")
    (home / "log4j2.properties").write_text(LOG4J, encoding="utf-8")


def _program(jars: Path, home: Path, main: str) -> list[str]:
    log4j = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
    return [log4j, f"-Dkafka.logs.dir={home}", "-cp", f"{jars}/*", main]


def _format(java: str, jars: Path, home: Path) -> None:
    """Write the cluster's id into the empty log folder, as KRaft wants it before the first start."""
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    command = [java, *FORMAT_JVM, *_program(jars, home, "kafka.tools.StorageTool"), "format", "--standalone",
               "--cluster-id", cluster_id, "--config", str(home / "server.properties")]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ConfigError(
            f"the broker's storage in {home} cannot be formatted: {said[-1] if said else 'no reason given'}"
        )


def create_topics(servers: str, topics: Sequence[str], partitions: int = PARTITIONS) -> None:
    """Create the topics that are not there yet. Raises TransientError when the broker does not answer."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    wanted = [NewTopic(topic, num_partitions=partitions, replication_factor=1) for topic in topics]
    for topic, future in admin.create_topics(wanted, operation_timeout=TOPICS_S, request_timeout=TOPICS_S).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TransientError(
                    f"broker {servers}: topic {topic} cannot be created: {error.args[0].str()}"
                ) from error
