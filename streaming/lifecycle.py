"""From the first batch to the last: watch the queries, stop them on SIGTERM, tell an asked end from a fault."""

import logging
import signal
import time
from collections.abc import Sequence
from typing import Any

from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from contract.failures import WebeventsError
from streaming.sinks import Gate

log = logging.getLogger(__name__)
POLL_S = 0.5


class TermHandler:
    """The answer to SIGTERM in the virtual machine.

    Under spark-submit that is the process which gets the signal, and by default it tears the batch down.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def handle(self, signal: Any) -> None:
        """Called by the virtual machine, through py4j."""
        self.gate.stop_asked.set()

    class Java:
        """What py4j asks of a class that stands for a Java interface."""

        implements = ["sun.misc.SignalHandler"]  # noqa: RUF012


def stop_on_sigterm(spark: SparkSession, gate: Gate) -> None:
    """From now on SIGTERM, to Python or to the virtual machine, asks the queries to stop after the running batch."""
    signal.signal(signal.SIGTERM, lambda *_: gate.stop_asked.set())
    gateway: Any = spark.sparkContext._gateway
    ensure_callback_server_started(gateway)  # type: ignore[no-untyped-call]
    jvm = gateway.jvm
    jvm.sun.misc.Signal.handle(jvm.sun.misc.Signal("TERM"), TermHandler(gate))


def watch(queries: Sequence[StreamingQuery], gate: Gate, *, drains: bool) -> bool:
    """Wait for the end of the queries; True where it was asked for.

    `drains`: the queries end by themselves once they have read what there was.
    """
    while not gate.stop_asked.wait(POLL_S):
        ended = [query for query in queries if not query.isActive]
        failed = [query for query in ended if query.exception() is not None]
        if failed or (ended and not drains) or len(ended) == len(queries):
            break
    else:
        _finish(queries)
        return all(query.exception() is None or gate.refused for query in queries)
    asked = drains and not failed
    if not asked:
        _report(ended, gate)
        _finish([query for query in queries if query.isActive])
    return asked


def _finish(queries: Sequence[StreamingQuery]) -> None:
    """Stop the queries, each when its running batch is committed."""
    for query in queries:
        while query.isActive and query.status["isTriggerActive"]:
            time.sleep(POLL_S / 5)
        query.stop()


def _report(ended: Sequence[StreamingQuery], gate: Gate) -> None:
    for query in ended:
        # What Spark says of the end holds a stack trace from its second line on; Spark has logged that itself.
        reason = str(query.exception() or "it ended without an exception").splitlines()[0]
        named = gate.failure if isinstance(gate.failure, WebeventsError) else reason
        log.error("query ended unasked", extra={"query": query.name, "reason": str(named)})
