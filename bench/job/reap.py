"""Run a command and wait for all that it started, also for what its own parent did not wait for.

    python reap.py COMMAND [ARGUMENT]...

So that who waits for this process is told the processor time of them all: Spark ends its Python workers as it ends
itself, and does not always wait for them. Ends with the command's exit code.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ORPHANS_S = 10.0
"""How long after the command's end what it left behind may live on."""


def main(command: list[str]) -> int:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command)
    code = process.wait()
    deadline = time.monotonic() + ORPHANS_S
    while orphans := children():
        for orphan in orphans:
            if time.monotonic() > deadline:
                os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, os.WNOHANG)
        time.sleep(0.05)
    return code


def children() -> list[int]:
    """The processes whose parent this one is, or has become."""
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
