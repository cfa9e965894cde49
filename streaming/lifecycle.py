"""From the first batch to the last: watch the queries, stop them on SIGTERM, tell an asked end from a fault."""

import logging
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from contract.failures import ConfigError, WebeventsError
from streaming.checkpoint import Checkpoint, damaged
from streaming.session import both_ways
from streaming.sinks import Gate

log = logging.getLogger(__name__)
POLL_S = 0.5
STATE_UNREADABLE = ("CANNOT_LOAD_STATE_STORE", "Error reading streaming state file", "StateStoreChangelogReader")
"""What the report of a query that could not load its state has in it: the first one since Spark 4."""
STATE_FILE = re.compile(r"[a-z]+:/\S*/state/\d+/\d+/[\w.-]*\w")


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
    jvm = both_ways(spark).jvm
    jvm.sun.misc.Signal.handle(jvm.sun.misc.Signal("TERM"), TermHandler(gate))


@dataclass
class Started:
    """A query that runs, and how to start it again on its checkpoint."""

    start: Callable[[], StreamingQuery]
    checkpoint: Checkpoint
    query: StreamingQuery = field(init=False)
    again: bool = False

    def __post_init__(self) -> None:
        self.query = self.start()

    @property
    def failed(self) -> bool:
        """Whether the query has ended by an exception."""
        return not self.query.isActive and self.query.exception() is not None

    def start_again(self, gate: Gate) -> bool:
        """Start the query once more where it failed with all its batches committed; False where that is no cure.

        Spark 4.1 ends a query after the batch that it replays first: the batch is committed, then the report of the
        Kafka source's lag fails (SPARK-55271). Nothing is lost or done twice, and the next start goes on.
        """
        if not self.failed or self.again or gate.failure is not None:
            return False
        if self.checkpoint.batches("offsets")[-1:] != self.checkpoint.batches("commits")[-1:]:
            return False
        self.again = True
        log.warning("query started again", extra={"query": self.query.name, "reason": reason_of(self.query)})
        self.query = self.start()
        return True


def watch(started: Sequence[Started], gate: Gate, *, drains: bool) -> bool:
    """Wait for the end of the queries; True where it was asked for.

    `drains`: the queries end by themselves once they have read what there was.
    """
    while not gate.stop_asked.wait(POLL_S):
        # Each query is asked once: one that fails between two questions would have ended, but not failed.
        ended = [each for each in started if not (each.query.isActive or each.start_again(gate))]
        failed = [each for each in ended if each.failed]
        if failed or (ended and not drains) or len(ended) == len(started):
            break
    else:
        _finish([each.query for each in started])
        return all(each.query.exception() is None or each.query.name in gate.refused for each in started)
    asked = drains and not failed
    if not asked:
        _report(ended, gate)
        gate.stop_asked.set()  # the other query ends with its running batch, however many wait behind it
        _finish([each.query for each in started if each.query.isActive])
    return asked


def _finish(queries: Sequence[StreamingQuery]) -> None:
    """Stop the queries, each when its running batch is committed."""
    for query in queries:
        while query.isActive and query.status["isTriggerActive"]:
            time.sleep(POLL_S / 5)
        query.stop()


def _report(ended: Sequence[Started], gate: Gate) -> None:
    for each in ended:
        named = gate.failure if isinstance(gate.failure, WebeventsError) else None
        named = named or damaged_state(str(each.query.exception()), each.checkpoint.path)
        log.error(
            "query ended unasked", extra={"query": each.query.name, "reason": str(named or reason_of(each.query))}
        )


def damaged_state(told: str, checkpoint: str) -> ConfigError | None:
    """The failure for a query that ended because its state cannot be loaded; None where `told` is another fault.

    Names the file, or all of the state where Spark does not say which one.
    """
    if not any(sign in told for sign in STATE_UNREADABLE):
        return None
    found = STATE_FILE.search(told)
    return damaged(found[0] if found else f"{checkpoint}/state")


def reason_of(query: StreamingQuery) -> str:
    """Why the query ended, in one line: from the second on Spark's text is a stack trace, which it has logged."""
    return str(query.exception() or "it ended without an exception").splitlines()[0]
