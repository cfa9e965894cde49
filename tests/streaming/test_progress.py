"""What is told of each batch."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from contract.log import JsonFormatter
from streaming.progress import ProgressLog
from tests.streaming.topic import Run, at, beat, pageview

pytestmark = pytest.mark.spark


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.message == "batch"]


def test_each_batch_is_told_in_a_line_with_what_the_sink_brought(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(spark, tmp_path)
    run.send(pageview(at("10:00")), pageview(at("10:01")))
    run.send(beat(at("11:00")))
    caplog.set_level(logging.INFO, "streaming.progress")
    ProgressLog(run.gate).listen(spark)
    listeners = spark.streams._jsqm
    try:
        batches = run.drain_sessions()
        spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    finally:
        listeners.removeListener(listeners.listListeners()[-1])
    lines = lines_of(caplog)
    assert [(line["query"], line["batchId"]) for line in lines] == [("sessions", number) for number in range(3)]
    assert [line["rowsIn"] for line in lines] == [2, 1, 0]
    assert [line["pageviews"] for line in lines] == [0, 0, 2]
    assert [line["watermark"] for line in lines] == [batch["eventTime"]["watermark"] for batch in batches]
    assert [line["durationsMs"] for line in lines] == [batch["durationMs"] for batch in batches]
    assert [line["stateRowsRemoved"] for line in lines] == [0, 0, 1]
    assert not run.gate.results
