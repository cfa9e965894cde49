"""Keep a server running: `python -m local.supervise PORT COMMAND...` starts it again whenever it ends.

A command that ends by itself before it has once listened at PORT is at fault: its exit code is this process's.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from local.processes import POLL_S, TERM_S, listens, on_term

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
STEADY_S = 10.0
"""A server that ran this long is started again without delay."""


def main(argv: Sequence[str]) -> int:
    """Run until TERM."""
    port, command = int(argv[0]), list(argv[1:])
    on_term(_leave)
    delay_s = FIRST_DELAY_S
    child = subprocess.Popen(command)
    try:
        if not _comes_up(child, port) and child.returncode >= 0:
            return child.returncode or 1
        while True:
            began = time.monotonic()
            code = child.wait()
            delay_s = FIRST_DELAY_S if time.monotonic() - began > STEADY_S else min(2 * delay_s, LONGEST_DELAY_S)
            sys.stderr.write(f"supervise: ended with code {code}, starts again in {delay_s:.1f} s\n")
            time.sleep(delay_s)
            child = subprocess.Popen(command)
    finally:
        _end(child)


def _comes_up(child: subprocess.Popen[bytes], port: int) -> bool:
    while child.poll() is None:
        if listens(port):
            return True
        time.sleep(POLL_S)
    return False


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(TERM_S / 2)
    except subprocess.TimeoutExpired:
        child.kill()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
