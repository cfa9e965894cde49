"""The job of the benchmark in Flink SQL: sessions.sql in one Java process, no Python beside it while it runs.

    python bench/job/flink/run.py --kafka-servers HOST:PORT --topic T --out DIR --state heap|rocksdb

Reads the topic from its start to where it ends now. Exit code 0: all rows are in committed Avro files below DIR.
The first run fetches 200 MB of jars and compiles Job.java (a JDK is needed) into .webevents/bench/flink.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HOME = ROOT / ".webevents" / "bench" / "flink"
LINE = "flink-2.3"

# What Flink's own start scripts open of Java 17, as far as SQL on one machine needs it.
OPENS = ("java.lang", "java.lang.reflect", "java.net", "java.nio", "java.text", "java.time", "java.util",
         "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch")  # fmt: skip

# No mini-batch: windows ignore it, they collect rows in managed memory until one closes or a checkpoint comes.
# One phase: lists of hits are as large after a first aggregation as before, so it only costs.
# No restarts: by default Flink tries for ever, and a run that fails must end with an error.
OPTIONS = {
    "execution.checkpointing.interval": "60 s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "restart-strategy.type": "none",
    "pipeline.object-reuse": "true",
    "pipeline.generic-types": "false",
    "table.local-time-zone": "UTC",
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",
    "rest.bind-port": "0",
}
# Managed memory is beside the heap: for the windows' buffers, and with RocksDB for its memtables and block cache too.
STATES: Mapping[str, Mapping[str, str]] = {
    "heap": {"state.backend.type": "hashmap", "taskmanager.memory.managed.size": "256 mb"},
    "rocksdb": {
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "taskmanager.memory.managed.size": "1 gb",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", choices=sorted(STATES), required=True)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--heap", default="4g")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="one more option of Flink")
    given = parser.parse_args()
    out = given.out.resolve()
    java, classpath = find_java("java"), install()
    scratch = out.with_name(f"{out.name}.flink")
    (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    words = [f"{key}={value}" for key, value in options(given.state, given.parallelism, scratch).items()]
    sql = statements(servers=given.kafka_servers, topic=given.topic, out=out.as_uri())
    jvm = virtual_machine(given.heap, scratch)
    os.execv(java, [java, *jvm, "-cp", classpath, "Job", *words, *given.option, "--", *sql])


def options(state: str, parallelism: int, scratch: Path) -> Mapping[str, str]:
    """Checkpoints, RocksDB's files and all else that is temporary lie in `scratch`."""
    places = {
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": (scratch / "checkpoints").as_uri(),
        "io.tmp.dirs": str(scratch / "tmp"),
    }
    sizes = {"parallelism.default": str(parallelism), "taskmanager.numberOfTaskSlots": str(parallelism)}
    return {**OPTIONS, **STATES[state], **places, **sizes}


def statements(**words: str) -> list[str]:
    """The statements of sessions.sql with their words filled in."""
    text = (HERE / "sessions.sql").read_text(encoding="utf-8").format(**words)
    return [statement for statement in map(str.strip, text.split(";")) if statement]


def virtual_machine(heap: str, scratch: Path) -> list[str]:
    """The heap has its full size from the start, as Flink's own scripts have it; the log is warnings on stderr.

    Huge pages, and the setting of malloc's that it inherits, are as ours has them.
    """
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENS]
    log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    collector = ["-XX:+UseParallelGC", "-XX:+UseTransparentHugePages"]
    return [f"-Xms{heap}", f"-Xmx{heap}", *collector, f"-Djava.io.tmpdir={scratch / 'tmp'}", log, *opens]


def install() -> str:
    """The class path; what is missing of it is fetched and compiled."""
    jars, classes, listed = HOME / LINE, HOME / "classes", (HERE / f"{LINE}.txt").read_text(encoding="utf-8")
    done = jars / "fetched.txt"
    if not done.is_file() or done.read_text(encoding="utf-8") != listed:
        _fetch(listed)
        done.write_text(listed, encoding="utf-8")
    classpath = f"{classes}{os.pathsep}{jars}{os.sep}*"
    source, compiled = HERE / "Job.java", classes / "Job.class"
    if not compiled.is_file() or compiled.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([find_java("javac"), "-cp", classpath, "-d", str(classes), str(source)], check=True)
    return classpath


def _fetch(listed: str) -> None:
    """With the code that fetches the product's jars, which wants the list beside the jars' folder."""
    spec = importlib.util.spec_from_file_location("fetch", ROOT / "jars" / "fetch.py")
    assert spec is not None and spec.loader is not None
    sys.modules["fetch"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / f"{LINE}.txt").write_text(listed, encoding="utf-8")
    try:
        module.fetch([LINE], folder=HOME, environ=os.environ, say=lambda line: print(line, file=sys.stderr))
    except module.JarsError as error:
        print(f"flink: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def find_java(program: str) -> str:
    """java or javac of JAVA_HOME, else of the path."""
    home = os.environ.get("JAVA_HOME")
    found = (home and shutil.which(program, path=str(Path(home, "bin")))) or shutil.which(program)
    if found is None:
        print(f"flink: {program} is missing: install a Java 17 JDK", file=sys.stderr)
        raise SystemExit(78)
    return found


if __name__ == "__main__":
    main()
