"""The job as a process of its own: how it begins, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyspark
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = str(ROOT / "streaming" / "main.py")
BASE = ("--kafka-servers", "127.0.0.1:9", "--checkpoint", "file:///nowhere/c", "--target", "file:///nowhere/t")
SUBMIT = (
    *(str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]"),
    *("--conf", "spark.ui.enabled=false", "--conf", "spark.driver.bindAddress=127.0.0.1"),
    *("--conf", "spark.driver.host=127.0.0.1", "--driver-java-options", "-XX:TieredStopAtLevel=1"),
)
DEADLINE_S = 280


def environ(**changes: str) -> dict[str, str]:
    """The environment of a shell in which the Python of this run comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **changes}


def ended(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """The exit code, and both outputs: spark-submit sends all that Python writes to its standard output."""
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("flags", "changes", "told"),
    [
        ((*BASE, "--tpoic", "x"), {}, "--tpoic: unknown; did you mean --topic?"),
        (BASE, {"JAVA_HOME": "/nowhere"}, "/nowhere/bin/java does not run (JAVA_HOME is wrong); Spark"),
    ],
    ids=["an unknown flag", "no Java"],
)
def test_a_fault_is_one_sentence_without_a_stack_trace(
    flags: Sequence[str], changes: dict[str, str], told: str
) -> None:
    code, errors = ended([sys.executable, MAIN, *flags], environ(**changes))
    assert code == 78
    assert told in errors
    assert "Traceback" not in errors


def test_without_a_package_the_job_says_where_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise ModuleNotFoundError(name='msgspec')\n")
    code, errors = ended([sys.executable, MAIN, *BASE], environ(PYTHONPATH=str(tmp_path)))
    assert code == 78
    assert "needs the Python package of msgspec, here and on every worker: pip install" in errors
    assert "Traceback" not in errors


@pytest.mark.spark
@pytest.mark.timeout(300)
def test_without_its_jars_the_job_says_which_to_give(tmp_path: Path) -> None:
    code, errors = ended([*SUBMIT, MAIN, *BASE], environ())
    assert code == 78
    line = pyspark.__version__[:3]
    assert "webevents streaming: missing on Spark's class path: spark-sql-kafka-0-10," in errors
    assert f"jars/spark-{line}.txt" in errors
    assert "Traceback" not in errors
    assert "\tat " not in errors


@pytest.mark.spark
@pytest.mark.stack
@pytest.mark.timeout(600)
def test_sigterm_to_spark_submit_ends_the_job_well_after_its_batch(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kafka = pytest.importorskip("confluent_kafka", reason="the messages are sent with it")
    servers = request.getfixturevalue("kafka_servers")
    producer = kafka.Producer({"bootstrap.servers": servers})
    producer.produce("webevent", b"junk")
    producer.flush()
    jars = sorted((ROOT / "jars" / f"spark-{pyspark.__version__[:3]}").glob("*.jar"))
    flags = ["--kafka-servers", servers, "--checkpoint", (tmp_path / "checkpoint").as_uri(), "--trigger", "3600"]
    flags += ["--target", (tmp_path / "target").as_uri(), "--shuffle-partitions", "1"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        job = subprocess.Popen(
            [*SUBMIT, "--jars", ",".join(map(str, jars)), MAIN, *flags],
            env=environ(), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_for(lambda: "query started" in log.read_text() or job.poll() is not None)
        job.send_signal(signal.SIGTERM)
        assert job.wait(DEADLINE_S) == 0, log.read_text()
    finally:
        job.kill()
    offsets = {str(path.parent.parent.name): path.name for path in (tmp_path / "checkpoint").glob("*/offsets/[0-9]*")}
    commits = {str(path.parent.parent.name): path.name for path in (tmp_path / "checkpoint").glob("*/commits/[0-9]*")}
    assert offsets == commits, "no batch was cut short"
    assert "Traceback" not in log.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert {line["query"] for line in lines if line["message"] == "batch"} == set(offsets)


def wait_for(condition: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)
