"""The profile: every sample in one part, every process of a run under its name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.job import profiled
from bench.job.measure import REAP
from bench.job.reap import Clock, tree

STACKS = """\
[java];CompileBroker::compiler_thread_loop;C2Compiler::compile_method 40
java/lang/Thread.run;writeIteratorToStream;org/apache/kafka/clients/consumer/KafkaConsumer.poll 30
java/lang/Thread.run;org/apache/spark/sql/execution/python/BasePythonRunner$WriterThread.run;memcpy 20
a frame with spaces;and another 10
"""


def test_a_sample_is_of_the_first_part_that_fits_and_none_is_lost() -> None:
    assert profiled.to_parts(STACKS.splitlines(keepends=True), 0.005) == pytest.approx({
        "compile (HotSpot)": 0.2, "read Kafka": 0.15, "hand messages and chunks to Python": 0.1, profiled.REST: 0.05,
    })  # fmt: skip


def test_processor_time_is_told_by_the_programs_name(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    # The shell's child outlives it, as Spark's workers do their daemon.
    line = f"{sys.executable} -c '{burn}' & exec true"
    subprocess.run([sys.executable, str(REAP), str(tmp_path / "used"), "sh", "-c", line], check=True, timeout=60)
    used = json.loads((tmp_path / "used").read_text())
    python_s = sum(seconds for name, seconds in used.items() if name.startswith("python"))
    assert 0.4 <= python_s < 1.5 and python_s == pytest.approx(sum(used.values()), abs=0.1)


def test_the_time_of_the_one_that_looks_is_not_counted(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(REAP), str(tmp_path / "used"), "sleep", "0.6"], check=True, timeout=60)
    assert set(json.loads((tmp_path / "used").read_text())) == {"sleep"}


def test_a_process_whose_name_is_no_utf_8_stops_nothing() -> None:
    line = "printf '\\xff' > /proc/$$/comm; echo; read end"
    with subprocess.Popen(["bash", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdout.readline()
        found = tree(shell.pid)
        shell.stdin.write("\n")
    assert [each.name for each in found.values()] == ["\ufffd"]


def test_a_process_that_has_ended_counts_as_far_as_it_was_looked_at() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    line = f"{sys.executable} -c '{burn}'; echo; read end"
    with subprocess.Popen(["bash", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        clock = Clock(shell.pid)
        shell.stdout.readline()
        before = clock.seconds()
        shell.stdin.write("\n")
        shell.stdin.flush()
        shell.stdout.readline()
        after = clock.seconds()
        shell.stdin.write("\n")
    assert 0.4 <= before < 1.5 and before <= after < before + 0.2


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--agent", "nowhere.so"), "--agent: no file nowhere.so"),
        (("--agent", __file__, "--pageviews", "5", "--warm-up", "5"), "--warm-up: want fewer than --pageviews, 5"),
    ],
)
def test_a_flag_at_fault_is_told_before_anything_starts(flags, told, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["profiled", *flags, "--state", str(tmp_path / "state")])
    with pytest.raises(SystemExit):
        profiled.main()
    assert told in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
