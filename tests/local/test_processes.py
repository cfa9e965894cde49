import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.failures import ConfigError
from local import processes
from local.processes import Process

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def start(program: str, log: Path, word: str = "up", timeout_s: float = 60) -> Process:
    def ready() -> bool:
        return word in log.read_text()

    return processes.start("part", [sys.executable, "-c", program], log=log, ready=ready, timeout_s=timeout_s)


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_part_that_ends_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part ended at its start with code 3; .*part.log\) ends:\n  no such disk"):
        start("print('no such disk', flush=True); raise SystemExit(3)", tmp_path / "part.log")


def test_the_words_of_an_earlier_run_are_not_told_again(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("old grief\n")
    with pytest.raises(ConfigError) as told:
        start("print('new grief'); raise SystemExit(3)", tmp_path / "part.log")
    assert "new grief" in str(told.value) and "old grief" not in str(told.value)


def test_a_part_that_is_never_ready_is_not_left_running(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with pytest.raises(ConfigError, match="part was not ready after 1 s"):
        start(PARENT, log, word="never said", timeout_s=1)
    child = int(log.read_text().split()[1])
    assert processes.birth_of(child) is None


@pytest.mark.parametrize("end", [Process.stop, Process.kill], ids=["stop", "kill"])
def test_the_children_of_a_part_end_with_it(tmp_path: Path, end: Callable[[Process], None]) -> None:
    log = tmp_path / "part.log"
    process = start(PARENT, log, word="child")
    child = int(log.read_text().split()[1])
    assert processes.birth_of(child)
    end(process)
    assert not process.alive() and processes.birth_of(child) is None


def test_the_children_of_a_part_that_crashed_end_too(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    process = start(PARENT, log, word="child")
    child = int(log.read_text().split()[1])
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.alive())
    assert processes.birth_of(child)
    process.stop()
    assert processes.birth_of(child) is None


def test_a_part_that_ignores_term_is_killed(tmp_path: Path) -> None:
    process = start(STUBBORN, tmp_path / "part.log")
    process.stop(term_s=0.3)
    assert not process.alive()


def test_stopping_twice_is_no_fault(tmp_path: Path) -> None:
    process = start(SLEEPER, tmp_path / "part.log")
    process.stop()
    process.stop()


def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    process = start(SLEEPER, tmp_path / "part.log")
    stranger = Process("part", process.pid, "1")
    assert not stranger.alive()
    stranger.stop(term_s=0.1)
    stranger.kill()
    assert process.alive()
    process.kill()


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind((processes.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--kafka-port: port {port} cannot be taken on 127.0.0.1: Address"):
            processes.pick_port(port, "--kafka-port")
        assert processes.listens(port)


def test_a_chosen_port_is_free() -> None:
    port = processes.pick_port(None, "--kafka-port")
    assert port > 1023 and not processes.listens(port)
