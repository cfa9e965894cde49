"""One program, one run: CPU-seconds of all its processes, wall seconds, and whether its rows are right."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.job.check import check
from bench.job.programs import Run

REAP = Path(__file__).with_name("reap.py")


@dataclass(frozen=True)
class Measured:
    """`cpu_s`: user and system time of all processes, and `cpu_s_of` by their names; `peak_bytes`: of the largest."""

    cpu_s: float
    cpu_s_of: Mapping[str, float]
    wall_s: float
    peak_bytes: int
    right: bool
    late: int
    out_bytes: int


def measure(command: Callable[[Run], Sequence[str]], run: Run, topic: Mapping[str, Any]) -> Measured:
    """Run to the end and compare. Raises RuntimeError with the log's end where the program fails."""
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True)
    log, used = run.folder / "log", run.folder / "cpu_s"
    program = command(run)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(REAP), str(used), *program], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, env=dict(run.environ), cwd=run.folder, start_new_session=True,
        )  # fmt: skip
        try:
            _, status, rusage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{program[0]} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    found = check(run.out)
    right = all(found[name] == topic[name] for name in ("rows", "pageviews", "digest"))
    late, size = int(found["late"]), int(found["bytes"])
    cpu_s_of = json.loads(used.read_text())
    return Measured(sum(cpu_s_of.values()), cpu_s_of, wall_s, rusage.ru_maxrss * 1024, right, late, size)
