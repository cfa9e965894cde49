"""The programs that are measured: each reads a topic to its end, writes Avro files into a folder, and exits."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.settings import nearest, number
from local.job import JVM, ROOT, spark_environ, spark_submit

HEAP = "4g"
NO_ARCHIVE = "--no-archive"
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """One run: where to read, where to write, what the process is given of the environment."""

    servers: str
    topic: str
    folder: Path
    environ: Mapping[str, str]
    batch: int | None = None
    """Messages a batch at most, of the programs in BATCHED; None where each has its own limit."""

    @property
    def out(self) -> Path:
        """Where the Avro files go."""
        return self.folder / "out"


def ours(*flags: str) -> Callable[[Run], list[str]]:
    """The product's job as it is submitted, with `flags`."""

    def command(run: Run) -> list[str]:
        return [
            *spark_submit(run.environ, JVM, memory=HEAP), str(ROOT / "streaming" / "main.py"),
            "--kafka-servers", run.servers, "--topic", run.topic, "--trigger", "available-now",
            "--checkpoint", (run.folder / "checkpoint").as_uri(), "--target", run.out.as_uri(), *flags,
            *limited(run),
        ]  # fmt: skip

    return command


def limited(run: Run) -> list[str]:
    """The flag of a run's limit to a batch, where it has one."""
    return [] if run.batch is None else ["--max-offsets-per-trigger", str(run.batch)]


def script(name: str, *flags: str) -> Callable[[Run], list[str]]:
    """A program of this folder that Python runs."""

    def command(run: Run) -> list[str]:
        where = ["--kafka-servers", run.servers, "--topic", run.topic, "--out", str(run.out)]
        return [sys.executable, str(HERE / name), *where, *flags]

    return command


def published(run: Run) -> list[str]:
    """The published script, with no more than it says: no flags of the virtual machine, no setting of malloc's."""
    submit = spark_submit(run.environ, "-Duser.timezone=UTC", memory=HEAP)
    return ["env", "--unset=GLIBC_TUNABLES", *submit, *script("published.py", *limited(run))(run)[1:]]


PROGRAMS: Mapping[str, Callable[[Run], Sequence[str]]] = {
    # No peer archives the messages too, so the second query is left out, but for one program that shows its cost.
    "ours": ours(NO_ARCHIVE),
    "ours-heap": ours(NO_ARCHIVE, "--state-store", "hdfs"),
    "ours-archive": ours(),
    "flink": script("flink/run.py", "--state", "heap", "--heap", HEAP),
    "flink-rocksdb": script("flink/run.py", "--state", "rocksdb", "--heap", HEAP),
    "published": published,
    "limit": script("limit.py"),
    "quix": script("quix.py"),
}
BATCHED = ("ours", "ours-heap", "ours-archive", "published")
"""The programs that read in batches: the others have a checkpoint after a time."""


def named(given: str) -> tuple[str, int]:
    """Of NAME or NAME:N, the name, and the number of parts of the topic of which the program is given one.

    Raises ValueError where there is no such program, or no such number.
    """
    name, colon, parts = given.partition(":")
    if name not in PROGRAMS:
        raise ValueError(f"no program {name!r}; {nearest(name, PROGRAMS)}")
    return name, number(parts) if colon else 1


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What Spark needs, and the checkout's modules for the scripts of this folder."""
    return {**spark_environ(environ), "PYTHONPATH": str(ROOT)}
