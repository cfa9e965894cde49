"""`webevents monitor`: how every stage of the pipeline is, now and every few seconds."""

import json
import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rich.console import Console

from contract.failures import ConfigError
from contract.log import log_to
from contract.names import DATASET, TOPIC
from contract.settings import number, read_flags, seconds, setting, switch, text
from warehouse.clients import bigquery_client, dataset_name, storage_client
from warehouse.monitor.follow import Follower
from warehouse.monitor.health import Bounds, Status
from warehouse.monitor.objects import Objects
from warehouse.monitor.page import to_table
from warehouse.monitor.rows import Rows
from warehouse.monitor.server import HOST, Board, serve
from warehouse.monitor.topic import Topic
from warehouse.monitor.watch import Watch, settled
from warehouse.reconcile import bucket_name

WIDTH_OF_FILES = 200
FOLLOW_S = 2.0
"""How often a look at one canary is repeated with --once."""

log = logging.getLogger("warehouse.monitor")

DESCRIPTION = """\
Look at every stage of the pipeline, and say which one is silent, behind or failing, and what to do.

collector         its /readyz and /metrics: stored, refused by field, spooling, bytes of the spool, in flight
topic             messages, and the age of the newest; a heartbeat a minute is always there
archive query     messages that are in no table yet, and for how long, by the offsets in events and bad_events
sessions query    messages that its newest batch record has not read; the record's age; the watermark
bucket, function  objects that are published and not loaded; loads that were given up
bigquery          load jobs of 24 hours a table against its limit, failed ones, the newest rows' age
accounts          rejected by reason, late, repaired; missing and twice, as webevents reconcile counts them
canary            with --canary: one event of type Canary a minute, followed from the collector to the table;
                  the first stage that lets none through is named. It is in events and in no session

  GET /  a page that reads itself again     GET /status.json     GET /metrics  for Prometheus

With --once it prints the same and ends: 0 all is ok, 1 a stage is not."""


def url(given: str) -> str:
    """An address with http:// or https:// before it."""
    if not given.startswith(("http://", "https://")):
        raise ValueError(f"want http://HOST:PORT, got {given!r}")
    return given.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Settings of `webevents monitor`."""

    bucket: str = setting(bucket_name, help="bucket that the job publishes to, which holds its batch records")
    kafka_servers: str = setting(text, help="Kafka's addresses, host:port, separated by commas")
    kafka_config: Path | None = setting(Path, default=None, help="file of librdkafka settings, name=value a line")
    topic: str = setting(text, default=TOPIC, help="topic of the pageviews")
    collector: tuple[str, ...] = setting(
        url, default=(), help="a collector's address; may be repeated", repeatable=True
    )
    dead_letter: str | None = setting(bucket_name, default=None, help="bucket of given-up loads, if it is another")
    project: str | None = setting(text, default=None, help="Google Cloud project; the account's own if not given")
    dataset: str = setting(dataset_name, default=DATASET, help="BigQuery dataset")
    location: str | None = setting(text, default=None, help="location of the dataset, outside US and EU")
    port: int = setting(number, default=9464, help=f"port on {HOST}")
    every: int = setting(number, default=30, help="seconds between two looks")
    tables_every: int = setting(seconds, default=300, help="seconds between two questions to the tables")
    accounts_every: int = setting(seconds, default=3600, help="seconds between two accounts of today; 0: never")
    quiet_seconds: int = setting(number, default=180, help="bound of a topic without any message")
    lag_seconds: int = setting(number, default=600, help="bound of a message that a query has not read")
    load_seconds: int = setting(number, default=300, help="bound of an object that is not loaded")
    canary: bool = setting(switch, default=False, help="send an event a minute and follow it")
    once: bool = setting(switch, default=False, help="look once, print it, end with 0 or 1")
    json: bool = setting(switch, default=False, help="with --once: print it as JSON")


def main(argv: Sequence[str]) -> int:
    """The command. 0: ended as asked, or with --once all is ok; 1: with --once a stage is not."""
    settings = read_flags(MonitorSettings, argv, prog="webevents monitor", description=DESCRIPTION)
    watch = build_watch(settings)
    try:
        if settings.once:
            logging.getLogger("warehouse").addHandler(logging.NullHandler())  # what is logged stands in the table
            status = look_once(watch)
            show(status, as_json=settings.json)
            return 0 if status.holds else 1
        return run(watch, settings)
    finally:
        watch.topic.close()


def build_watch(settings: MonitorSettings) -> Watch:
    """The watch with its real parts. Raises ConfigError where settings do not fit together."""
    if settings.canary and not settings.collector:
        raise ConfigError("--canary needs a --collector to send to")
    client = bigquery_client(settings.project, settings.location)
    storage = storage_client(settings.project)
    letters = storage.bucket(settings.dead_letter) if settings.dead_letter else None
    objects = Objects(storage.bucket(settings.bucket), client, letters)
    rows = Rows(client, settings.dataset)
    topic = Topic(settings.kafka_servers, settings.topic, read_kafka_config(settings.kafka_config))
    return Watch(
        settings.collector, topic, objects, rows,
        Bounds(settings.quiet_seconds, settings.lag_seconds, settings.load_seconds),
        now=now,
        follower=Follower(settings.collector[0], topic, objects, rows) if settings.canary else None,
        tables_every_s=settings.tables_every, accounts_every_s=settings.accounts_every,
    )  # fmt: skip


def read_kafka_config(path: Path | None) -> dict[str, str]:
    """librdkafka's settings in a file: name=value a line. Raises ConfigError."""
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError(f"--kafka-config {path}: {error.strerror}") from error
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if not all(equals for _, equals, _ in pairs):
        raise ConfigError(f"--kafka-config {path}: want name=value, got a line without =")
    return {name.strip(): value.strip() for name, _, value in pairs}


def look_once(watch: Watch) -> Status:
    """One look with the accounts; with a canary, looks until it has arrived or is overdue."""
    status = watch.look()
    if watch.accounting is not None:
        watch.accounting.join()
        status = watch.look()
    while watch.follower is not None and not settled(watch.follower, watch.bounds, watch.now()):
        Event().wait(FOLLOW_S)
        status = watch.look()
    return status


def show(status: Status, *, as_json: bool) -> None:
    """Print it."""
    console = Console()
    if as_json:
        console.print_json(json.dumps(status.to_json()), ensure_ascii=True)
    else:
        (console if console.is_terminal else Console(width=WIDTH_OF_FILES)).print(to_table(status))


def run(watch: Watch, settings: MonitorSettings) -> int:
    """Look and serve until SIGTERM."""
    log_to()
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    board = Board(settings.every, now)
    server = serve(board, settings.port)
    log.info("watching", extra={"address": f"http://{HOST}:{settings.port}/"})
    try:
        while not ended.is_set():
            try:
                board.status = watch.look()
            except Exception:  # noqa: BLE001 - what no stage foresaw: the page shows its age, the next look tries again
                log.exception("a look failed")
            ended.wait(settings.every)
    finally:
        server.shutdown()
        server.server_close()
    return 0


def now() -> float:
    """The wall clock, in seconds since the epoch."""
    return time.time_ns() / 1e9
