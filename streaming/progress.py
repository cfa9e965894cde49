"""One JSON log line a batch, from Spark's progress and what the sinks counted."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from streaming.session import both_ways
from streaming.sinks import Gate

log = logging.getLogger(__name__)


class ProgressLog:
    """Logs each batch when Spark has committed it.

    A listener as Java sees it: PySpark's own asks Java for every figure of a report by itself.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def listen(self, spark: SparkSession) -> None:
        """From now on be told of what the session's queries do."""
        streaming = both_ways(spark).jvm.org.apache.spark.sql.streaming
        spark.streams._jsqm.addListener(streaming.PythonStreamingQueryListenerWrapper(self))

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802 - Spark's name
        """Nothing: no batch ran yet."""

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802
        """Nothing: no batch ran."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
        """Nothing: all its batches are logged by now."""

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802
        """One line, of numbers only."""
        progress = json.loads(event.progress().json())
        brought = self.gate.results.pop((progress["name"], progress["batchId"]), {})
        log.info("batch", extra={**to_fields(progress), **brought})

    class Java:
        """What py4j asks of a class that stands for a Java interface."""

        implements = ["org.apache.spark.sql.streaming.PythonStreamingQueryListener"]  # noqa: RUF012


def to_fields(progress: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the log line: rows in, dropped by the watermark, state, lag in messages, durations in ms.

    What is dropped and what lies in the state are chunks. stateRows is None where the store does not count them.
    """
    sources = progress.get("sources", [])
    lags = [source.get("metrics", {}).get("maxOffsetsBehindLatest") for source in sources]
    fields: dict[str, Any] = {
        "query": progress["name"],
        "queryId": progress["id"],
        "batchId": progress["batchId"],
        "rowsIn": progress["numInputRows"],
        "watermark": progress.get("eventTime", {}).get("watermark"),
        "lag": max((int(lag) for lag in lags if lag is not None), default=None),
        "durationsMs": progress["durationMs"],
    }
    for operator in progress.get("stateOperators", [])[:1]:
        fields["droppedByWatermark"] = operator["numRowsDroppedByWatermark"]
        fields["stateRows"] = operator["numRowsTotal"] or None
        fields["stateRowsUpdated"] = operator["numRowsUpdated"]
        fields["stateRowsRemoved"] = operator["numRowsRemoved"]
        fields["stateBytes"] = operator["memoryUsedBytes"]
    return fields
