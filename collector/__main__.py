"""`webevents collect`, or python -m collector: one collector process."""

import gc
import logging
import signal
import sys
import time
from collections.abc import Sequence

import uvicorn

from collector.app import Collector
from collector.connection import Doors, build_protocol
from collector.events import Events
from collector.limits import Buckets
from collector.metrics import Metrics
from collector.origins import Origins
from collector.producer import Producer
from collector.robots import is_robot
from collector.script import read_script
from collector.settings import Settings, read_kafka_config
from collector.sink import Sink
from collector.spool import Spool
from contract.failures import ConfigError, WebeventsError
from contract.log import log_to
from contract.settings import read_flags

log = logging.getLogger("collector")

BACKLOG = 2_048
DRAIN_S = 15
MB = 1024 * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Take pageviews until SIGTERM; then answer what has begun, and end."""
    settings = read_flags(
        Settings, sys.argv[1:] if argv is None else argv, prog="webevents collect",
        description="Take pageviews over HTTP. 200 means: Kafka's replicas, or the disk, have it.",
    )  # fmt: skip
    log_to()
    doors = Doors(settings.connections, settings.address_connections, settings.request_s)
    collector, events = build_collector(settings, doors)
    config = uvicorn.Config(
        collector, host=settings.host, port=settings.port, http=build_protocol(doors, events.take),
        ws="none", lifespan="on", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s, timeout_graceful_shutdown=DRAIN_S, backlog=BACKLOG,
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    # What start-up made lives as long as the process; requests make few cycles.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    log.info("listening", extra={"host": settings.host, "port": settings.port})
    # uvicorn drains on SIGTERM and then raises it anew: an end as ordered is exit code 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run()
    return 0


def build_collector(settings: Settings, doors: Doors) -> tuple[Collector, Events]:
    """The application with its real parts, and that which takes events. Raises ConfigError where one cannot be had."""
    is_robot(b"")  # compiles the list's patterns: a fifth of a second that no request should wait for
    metrics = Metrics()
    producer = Producer(read_kafka_config(settings), settings.topic)
    try:
        spool = Spool(settings.spool, limit_bytes=settings.spool_mb * MB)
    except OSError as error:
        raise ConfigError(f"--spool {settings.spool}: {error.strerror}") from error
    sink = Sink(producer, spool, metrics, ack_wait_s=settings.ack_wait_ms / 1000, now_ms=now_ms)
    metrics.gauge("spool_bytes", "Bytes on the spool's disk.", lambda: spool.size_bytes)
    metrics.gauge("spooling", "1 while events go to the disk.", lambda: sink.spooling)
    metrics.gauge("in_flight", "Events that the broker has not answered.", lambda: producer.in_flight)
    metrics.gauge(
        "oldest_unacked_seconds", "How long the broker has owed its oldest answer.", lambda: producer.oldest_unacked_s
    )
    metrics.gauge("connections", "Open connections.", lambda: doors.open.total())
    events = Events(
        sink, Origins(settings.sites), Buckets(settings.rate), metrics,
        trusted_hops=settings.trusted_hops, now_ms=now_ms,
    )  # fmt: skip
    return Collector(events, sink, read_script(), metrics, now_ms=now_ms), events


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except WebeventsError as error:
        sys.stderr.write(f"webevents collect: {error}\n")
        raise SystemExit(error.exit_code) from None
