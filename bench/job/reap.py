"""Run a command to the end of all that it starts, and write down the processor time of each process of it.

    python reap.py FILE COMMAND [ARGUMENT]...

FILE is given the seconds, user and system, of each program by its name: {"java": 98.5, "python3": 40.1}. Nothing
that waits for its children knows them all: Spark's daemon of Python workers lets the kernel forget them, with their
time. So every process below this one is looked at until it is gone, and the last look counts: STEP_S of each is what
may be missing. Ends with the command's exit code.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
STEP_S = 0.2
ORPHANS_S = 10.0
"""How long after the command's end what it left behind may live on."""
TICKS = os.sysconf("SC_CLK_TCK")
Used = dict[tuple[int, int], tuple[str, float]]


def main(file: Path, command: list[str]) -> int:
    """Run, watch, wait. What a process leaves behind becomes a child of this one."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    used: Used = {}
    process = subprocess.Popen(command)
    while process.poll() is None:
        look(descendants(os.getpid()), used)
        time.sleep(STEP_S)
    deadline = time.monotonic() + ORPHANS_S
    while orphans := children(os.getpid()):
        look(descendants(os.getpid()), used)
        for orphan in orphans:
            if time.monotonic() > deadline:
                os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, os.WNOHANG)
        time.sleep(STEP_S)
    total: Counter[str] = Counter()
    for name, seconds in used.values():
        total[name] += seconds
    file.write_text(json.dumps(total))
    return process.returncode


class Clock:
    """Processor time of a process and all that it starts; what has ended counts as far as it was looked at."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.used: Used = {}

    def seconds(self) -> float:
        """User and system time so far."""
        look([self.pid, *descendants(self.pid)], self.used)
        return sum(seconds for _, seconds in self.used.values())


def look(pids: list[int], used: Used) -> None:
    """Set each process's name and its processor seconds so far, by its id and the moment of its start."""
    for pid in pids:
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        fields = rest.split()
        used[pid, int(fields[19])] = name, (int(fields[11]) + int(fields[12])) / TICKS


def children(pid: int) -> list[int]:
    """The processes whose parent `pid` is, or has become."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        pass  # It, or a thread of it, has ended meanwhile: the next look finds what it left.
    return found


def descendants(pid: int) -> list[int]:
    """The processes below `pid`."""
    found = children(pid)
    return [*found, *(below for child in found for below in descendants(child))]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
