"""The job: settings, checks, two queries, and how the process ends."""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from contract.failures import ConfigError, WebeventsError
from contract.log import log_to
from contract.names import Kind
from contract.settings import read_flags
from streaming import preflight
from streaming.checkpoint import Checkpoint
from streaming.lifecycle import Started, stop_on_sigterm, watch
from streaming.progress import ProgressLog
from streaming.publish import Publisher
from streaming.session import PARTITIONS, PROVIDER, PROVIDERS, build_session, is_local
from streaming.settings import AVAILABLE_NOW, Settings
from streaming.sinks import ArchiveSink, Gate, SessionsSink
from streaming.source import client_options, read_topic
from streaming.storage import Store, open_store
from streaming.transform import to_archive, to_chunks, to_closed

log = logging.getLogger(__name__)
CLUSTER_BACK_OFF_S = 200
DESCRIPTION = "Group pageviews of a Kafka topic into sessions and publish each batch once, as an Avro object."
EPILOG = """\
Exit codes: 0 drained, or stopped by SIGTERM after the running batch; 1 a query ended unasked; 75 try again; 78 a
setting is at fault. The checkpoint holds the offsets read and the open windows: it is the one thing to keep."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the job; returns the process's exit code."""
    began = time.monotonic()
    log_to()
    back_off_s = 0
    try:
        settings = read_flags(Settings, argv, prog="streaming/main.py", description=DESCRIPTION, epilog=EPILOG)
        log.info("job starts", extra={"spark": pyspark.__version__, "topic": settings.topic})
        preflight.check_java(environ, pyspark.__version__)
        spark = build_session(app=f"webevents {settings.topic}", state_store=settings.state_store)
        back_off_s = _back_off_s(spark, settings)
        code = 0 if run(spark, settings, environ) else 1
        spark.stop()
    except WebeventsError as error:
        sys.stderr.write(f"webevents streaming: {error}\n")
        code = error.exit_code
    if code not in (0, ConfigError.exit_code):
        _wait(back_off_s - (time.monotonic() - began))
    return code


def run(spark: SparkSession, settings: Settings, environ: Mapping[str, str]) -> bool:
    """Check, start the queries and wait for their end; True where it was asked for."""
    client = client_options(settings, environ)
    preflight.check_jars(spark)
    preflight.check_places(str(spark.sparkContext.master), settings)
    checkpoints = {name: Checkpoint(spark, f"{settings.checkpoint}/{name}") for name in ("sessions", "archive")}
    preflight.check_checkpoint(checkpoints["sessions"], settings)
    checkpoints["archive"].check()
    preflight.check_topic(spark, settings.topic, client)
    store = open_store(settings.target)
    store.check()
    preflight.check_goes_on(checkpoints["sessions"], settings.topic, store, Kind.SESSIONS)
    preflight.check_goes_on(checkpoints["archive"], settings.topic, store, Kind.EVENTS, Kind.BAD)
    lay_out_state(spark, settings, checkpoints["sessions"])
    gate = Gate()
    stop_on_sigterm(spark, gate)
    ProgressLog(gate).listen(spark)
    messages = read_topic(spark, settings, client)
    starters = {"sessions": start_sessions, "archive": start_archive}
    started = [
        Started(partial(start, messages, settings, store, checkpoints[name], gate), checkpoints[name])
        for name, start in starters.items()
        if settings.archive or name != "archive"
    ]
    for query in (each.query for each in started):
        log.info("query started", extra={"query": query.name, "queryId": query.id, "topic": settings.topic})
    return watch(started, gate, drains=settings.trigger == AVAILABLE_NOW)


def start_sessions(
    messages: DataFrame, settings: Settings, store: Store, checkpoint: Checkpoint, gate: Gate
) -> StreamingQuery:
    """Start the stateful query: sessions of closed windows, and a record of every batch."""
    sink = SessionsSink(
        _publisher(settings, store, checkpoint, Kind.SESSIONS),
        gate,
        window_s=settings.window_seconds,
        delay_s=settings.watermark_seconds,
    )
    chunks = to_chunks(messages, window_s=settings.window_seconds)
    chunks = chunks.withWatermark("eventAt", f"{settings.watermark_seconds} seconds")
    return _start(to_closed(chunks, window_s=settings.window_seconds), "sessions", sink, settings, checkpoint)


def start_archive(
    messages: DataFrame, settings: Settings, store: Store, checkpoint: Checkpoint, gate: Gate
) -> StreamingQuery:
    """Start the stateless query: every message as an event or as a bad event."""
    sink = ArchiveSink(_publisher(settings, store, checkpoint, Kind.EVENTS, Kind.BAD), gate)
    return _start(to_archive(messages, topic=settings.topic), "archive", sink, settings, checkpoint)


def lay_out_state(spark: SparkSession, settings: Settings, checkpoint: Checkpoint) -> None:
    """Set what the first batch bakes into the checkpoint, to what it says where it has had one."""
    cores = spark.sparkContext.defaultParallelism
    partitions = checkpoint.conf().get(PARTITIONS) or str(settings.shuffle_partitions or cores)
    spark.conf.set(PARTITIONS, partitions)
    spark.conf.set(PROVIDER, PROVIDERS[settings.state_store])


def _start(
    rows: DataFrame, name: str, sink: Callable[[DataFrame, int], None], settings: Settings, checkpoint: Checkpoint
) -> StreamingQuery:
    drains = settings.trigger == AVAILABLE_NOW
    when: dict[str, Any] = {"availableNow": True} if drains else {"processingTime": f"{settings.trigger} seconds"}
    writer = rows.writeStream.queryName(name).outputMode("append").foreachBatch(sink)
    return writer.option("checkpointLocation", checkpoint.path).trigger(**when).start()


def _publisher(settings: Settings, store: Store, checkpoint: Checkpoint, *kinds: Kind) -> Publisher:
    publisher = Publisher(store, checkpoint, stage=settings.stage_folder, files_per_batch=settings.files_per_batch)
    publisher.remove_leftovers(*kinds)
    return publisher


def _back_off_s(spark: SparkSession, settings: Settings) -> int:
    if settings.restart_back_off is not None:
        return settings.restart_back_off
    return 0 if is_local(str(spark.sparkContext.master)) else CLUSTER_BACK_OFF_S


def _wait(seconds: float) -> None:
    if seconds > 0:
        log.info("waiting before the exit, so that restarts do not come too fast", extra={"seconds": round(seconds)})
        time.sleep(seconds)
