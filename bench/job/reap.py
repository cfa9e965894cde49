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
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
STEP_S = 0.2
ORPHANS_S = 10.0
"""How long after the command's end what it left behind may live on."""
TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """`seconds`: user and system time so far. `started` tells a process from a later one with its id."""

    name: str
    parent: int
    seconds: float
    started: int


Used = dict[tuple[int, int], Process]


def main(file: Path, command: list[str]) -> int:
    """Run, watch, wait. What a process leaves behind becomes a child of this one."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    me, used = os.getpid(), Used()
    process = subprocess.Popen(command)
    while process.poll() is None:
        look(tree(me), used)
        time.sleep(STEP_S)
    deadline = time.monotonic() + ORPHANS_S
    while orphans := [pid for pid, each in look(tree(me), used).items() if each.parent == me]:
        for orphan in orphans:
            if time.monotonic() > deadline:
                os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, os.WNOHANG)
        time.sleep(STEP_S)
    total: Counter[str] = Counter()
    for (pid, _), each in used.items():
        if pid != me:
            total[each.name] += each.seconds
    file.write_text(json.dumps(total))
    return process.returncode


class Clock:
    """Processor time of a process and all that it starts; what has ended counts as far as it was looked at."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.used: Used = {}

    def seconds(self) -> float:
        """User and system time so far."""
        look(tree(self.pid), self.used)
        return sum(each.seconds for each in self.used.values())


def look(processes: dict[int, Process], used: Used) -> dict[int, Process]:
    """Note each of the processes as it is now, by its id and the moment of its start; returns them."""
    used.update({(pid, each.started): each for pid, each in processes.items()})
    return processes


def tree(pid: int) -> dict[int, Process]:
    """The process and all below it, by their ids.

    One pass over all processes of the machine. The kernel's own lists of children are a file a thread, and Spark has
    threads by the hundred.
    """
    every = {int(name): process for name in os.listdir("/proc") if name.isdigit() and (process := read(name))}
    children = defaultdict(list)
    for each, process in every.items():
        children[process.parent].append(each)
    found, left = {}, [pid]
    while left:
        each = left.pop()
        if each in every:
            found[each] = every[each]
            left += children[each]
    return found


def read(pid: str) -> Process | None:
    """What the kernel tells of a process; None where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(name, int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS, int(fields[19]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
