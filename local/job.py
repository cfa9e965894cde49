"""The real Spark job on this machine: spark-submit, its jars, its log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.failures import ConfigError, TransientError
from local.java import fetch_jars
from local.processes import HOST, last_words

ROOT = Path(__file__).resolve().parent.parent
LINES = {"3": "spark-3.5", "4": "spark-4.1"}
MASTER = "local[2]"
DRIVER_MEMORY = "2g"
JVM = (
    "-XX:+UseParallelGC -XX:+UseTransparentHugePages"
    " -XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000"
)
"""Huge pages where they are to be had; ten times the calls before a method is optimized: what plans a batch is called
often, and not worth it."""
SHORT_LIVED_JVM = f"{JVM} -XX:TieredStopAtLevel=1"
"""For a run of minutes: without the optimizing compiler start and first batches take two thirds of the CPU time."""
MALLOC = "glibc.malloc.hugetlb=1"
"""Huge pages for what is large, in Java and in Python's workers: the buffers in which chunks are handed over are new in
every task."""
CHECKPOINT = "checkpoint"
STOP_S = 90.0
"""How long a running batch may take to end after SIGTERM."""


@dataclass
class Job:
    """A running job. Its log holds Spark's own words and the job's JSON lines."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def batches(self) -> list[Mapping[str, Any]]:
        """The job's JSON lines of the batches that are done."""
        return read_batches(self.log)

    def check(self) -> None:
        """Raises TransientError with the log's last words where the job has ended with a fault."""
        code = self.process.poll()
        if code:
            raise TransientError(f"the Spark job ended with code {code}{last_words(self.log)}")

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of a run that ends by itself. Raises TransientError where it fails or lasts longer."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TransientError(f"the Spark job was not done after {timeout_s:.0f} s{last_words(self.log)}") from None
        self.check()

    def stop(self) -> None:
        """Ask the job to end after its running batch. Raises as `wait` does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.wait(STOP_S)

    def kill(self) -> None:
        """End the job and all its processes at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def submit(
    state: Path, environ: Mapping[str, str], *, servers: str, bucket: str, topic: str, trigger: str,
    flags: Sequence[str] = (), jvm: str = SHORT_LIVED_JVM,
) -> Job:  # fmt: skip
    """Start the job on `topic`; checkpoint and stage lie in `state`, objects go to gs://`bucket`."""
    log = state / "logs" / "job.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *spark_submit(environ, jvm), str(ROOT / "streaming" / "main.py"), "--kafka-servers", servers, "--topic", topic,
        "--checkpoint", (state / CHECKPOINT / topic).resolve().as_uri(), "--target", f"gs://{bucket}",
        "--trigger", trigger, *flags,
    ]  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=spark_environ(environ),
        )  # fmt: skip
    return Job(process, log)


def spark_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of spark-submit; a GLIBC_TUNABLES of yours stands.

    It is a shell script: it asks this Python where PySpark is, and runs the driver with it. Without an address given,
    Spark looks its host's name up, which not every machine's resolver knows.
    """
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    return {"GLIBC_TUNABLES": MALLOC, **environ, **python, "SPARK_LOCAL_IP": HOST}


def spark_submit(environ: Mapping[str, str], jvm: str, *, memory: str = DRIVER_MEMORY) -> list[str]:
    """spark-submit of the installed PySpark, with the jars of its line and the driver's JVM flags."""
    program = Path(sys.executable).with_name("spark-submit")
    try:
        import pyspark
    except ModuleNotFoundError as error:
        raise ConfigError("PySpark is missing: pip install 'webevents[spark]', or run scripts/setup.sh") from error
    jars = sorted(fetch_jars(LINES[pyspark.__version__[0]], environ).glob("*.jar"))
    return [
        str(program), "--master", MASTER, "--driver-memory", memory, "--jars", ",".join(map(str, jars)),
        "--driver-java-options", jvm,
        "--conf", "spark.ui.enabled=false", "--conf", f"spark.driver.bindAddress={HOST}",
        "--conf", f"spark.driver.host={HOST}",
    ]  # fmt: skip


def read_batches(log: Path) -> list[Mapping[str, Any]]:
    """The lines that a job's log has of its batches."""
    return [line for line in _json_lines(log) if line.get("message") == "batch"]


def _json_lines(log: Path) -> Iterator[Mapping[str, Any]]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else ():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def wait_until(condition: Any, *, timeout_s: float, what: str, poll_s: float = 0.5) -> Any:
    """Ask `condition()` again until its answer is true, and return the answer.

    Raises TransientError naming `what` where that takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TransientError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(poll_s)
    return answer
