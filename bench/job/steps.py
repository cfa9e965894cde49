"""Where the job's CPU time goes: each step of both its queries as a batch query, on top of the steps before.

    python -m bench.job.steps [--pageviews 2000000] [--rounds 3] [--state DIR]

CPU-seconds of Spark's processes per million pageviews, after a first round that warms up. What the sessions stream
takes beyond its last step is its state: rows are put into it, taken out and put together again.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WINDOW_S = 1800


def main() -> None:
    """Start the broker, fill the topic, and let spark-submit run this file with them."""
    from bench.console import make_console
    from bench.job.fill import fill, serving
    from bench.job.programs import HEAP, environment
    from local.job import JVM, spark_submit
    from local.processes import last_words

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pageviews", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path(".webevents/bench/job"))
    given = parser.parse_args()
    state = given.state.resolve()
    with serving(state) as servers:
        topic = fill(state, servers, given.pageviews, given.seed)
        environ = environment(os.environ)
        submit = [*spark_submit(environ, JVM, memory=HEAP), str(Path(__file__).resolve())]
        where = [servers, topic["topic"], str(topic["messages"]), str(state / "steps"), str(given.rounds)]
        log = state / "steps.log"
        console = make_console()
        with console.status(f"steps, {given.rounds + 1} rounds"), log.open("wb") as stderr:
            done = subprocess.run([*submit, "--driver", *where], env=environ, stdout=subprocess.PIPE, stderr=stderr)
        console.print(done.stdout.decode(), highlight=False)
        if done.returncode:
            raise RuntimeError(f"the steps ended with {done.returncode}{last_words(log)}")


def drive(servers: str, topic: str, messages: int, out: Path, rounds: int) -> None:
    """In Spark's driver: run the steps in turn and print the medians."""
    from bench.job.reap import Clock
    from streaming.session import PARTITIONS, build_session

    spark = build_session(app="steps", state_store="rocksdb")
    spark.conf.set(PARTITIONS, "2")
    # In the stream the watermark keeps the filter of window() above the parser; here it would parse twice.
    spark.conf.set("spark.sql.optimizer.excludedRules", "org.apache.spark.sql.catalyst.optimizer.PushDownPredicates")
    clock = Clock(spark._jvm.java.lang.ProcessHandle.current().pid())  # type: ignore[union-attr]
    queries = to_steps(spark, servers, topic, out)
    steps = {(query, name): step for query, chain in queries.items() for name, step in chain.items()}
    found: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for number in range(rounds + 1):
        for key, step in steps.items():
            before = clock.seconds()
            step()
            if number:
                found[key].append((clock.seconds() - before) / messages * 1e6)
    print(f"\n{'query':<10}{'step':<42}{'CPU-s per million':>18}{'of its own':>12}")
    for query, chain in queries.items():
        last = 0.0
        for name in chain:
            middle = statistics.median(found[query, name])
            print(f"{query:<10}{name:<42}{middle:>18.1f}{middle - last:>12.1f}")
            last = middle


def to_steps(spark: Any, servers: str, topic: str, out: Path) -> Mapping[str, Mapping[str, Callable[[], None]]]:
    """query -> name of a step -> what runs it. Each has the steps of its query before it in it."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    from streaming import transform as job
    from streaming.source import FETCH

    options = {"kafka.bootstrap.servers": servers, "subscribe": topic, "startingOffsets": "earliest", **FETCH}
    messages = spark.read.format("kafka").options(**options).load()
    chunks = job.to_chunks(messages, window_s=WINDOW_S)
    rows = job.to_rows(job.to_closed(chunks, window_s=WINDOW_S), window_s=WINDOW_S)
    archive = job.to_archive(messages, topic=topic)
    spread = archive.repartition(1)

    def read() -> None:
        drop(messages.select("value"))

    def archive_all() -> None:
        spread.persist(StorageLevel.DISK_ONLY)
        try:
            write(job.to_events(spread), out, "event")
            write(job.to_bad_events(spread.where(F.col("reason").isNotNull())), out, "bad_event")
        finally:
            spread.unpersist(blocking=True)

    return {
        "sessions": {
            "read Kafka": read,
            "read and pack: messages into chunks": lambda: drop(chunks),
            "shuffle the chunks, unpack, to rows": lambda: drop(rows),
            "write one Avro file": lambda: write(rows, out, "session"),
        },
        "archive": {
            "read Kafka": read,
            "read and pack: messages into chunks": lambda: drop(archive),
            "shuffle the chunks, unpack, to rows": lambda: drop(job.to_events(spread)),
            "write one Avro file": lambda: write(job.to_events(spread), out, "event"),
            "keep the batch, write what was refused": archive_all,
        },
    }


def drop(frame: Any) -> None:
    """Compute all rows and keep none."""
    frame.write.format("noop").mode("overwrite").save()


def write(frame: Any, out: Path, schema: str) -> None:
    """As the job writes a batch."""
    from pyspark.sql import functions as F

    from contract.schemas import schema_text
    from streaming.publish import write_avro

    shutil.rmtree(out, ignore_errors=True)
    write_avro(frame.withColumn("batchKey", F.lit("bench")), out.as_uri(), schema_text(schema))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--driver"]:
        sys.path.insert(0, str(ROOT))
        servers, topic, messages, out, rounds = sys.argv[2:]
        drive(servers, topic, int(messages), Path(out), int(rounds))
    else:
        main()
