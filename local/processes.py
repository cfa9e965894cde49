"""Processes of the local cloud: started until ready, named by pid and start time, stopped by their group."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from contract.failures import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The clone: the local cloud runs from one, with jars/ and scripts/ beside it."""
HOST = "127.0.0.1"
POLL_S = 0.05
TERM_S = 8.0
"""How long a part may take to stop before it is killed; a broker closes its log in 1 to 2 s."""


@dataclass(frozen=True)
class Process:
    """A started part. `birth` tells it from a later process that got the same pid."""

    name: str
    pid: int
    birth: str

    def alive(self) -> bool:
        """True while this very process runs."""
        return birth_of(self.pid) == self.birth

    def stop(self, *, term_s: float = TERM_S) -> None:
        """End the process and all its children: TERM, then KILL after `term_s`. Does nothing when they are gone."""
        self.signal(signal.SIGTERM)
        if not _wait(lambda: not self._group_alive(), term_s):
            self.signal(signal.SIGKILL)
            _wait(lambda: not self._group_alive(), TERM_S)

    def kill(self) -> None:
        """End the process and all its children at once, as a crash would."""
        self.signal(signal.SIGKILL)
        _wait(lambda: not self._group_alive(), TERM_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process's group, unless the group is no longer this process's."""
        if self._group_alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _group_alive(self) -> bool:
        birth = birth_of(self.pid)
        if birth is not None:
            return birth == self.birth
        # The leader is gone. A group that still has members keeps its id from being given to anybody else.
        return bool(group_members(self.pid))


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    timeout_s: float = 60.0,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Run `command` in a group of its own, its output in `log`, and return when `ready()` is true.

    Raises ConfigError with the log's last lines when it ends or is not ready within `timeout_s`; then nothing of it
    is left running.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        begin = output.tell()
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env=None if environ is None else dict(environ), cwd=cwd,
        )  # fmt: skip
    process = Process(name, child.pid, birth_of(child.pid) or "ended at once")
    pid_file(log).write_text(json.dumps(asdict(process)), encoding="utf-8")
    try:
        if not _wait(lambda: child.poll() is not None or ready(), timeout_s):
            raise ConfigError(f"{name} was not ready after {timeout_s:.0f} s{last_words(log, begin)}")
        if child.poll() is not None:
            raise ConfigError(f"{name} ended at its start with code {child.returncode}{last_words(log, begin)}")
    except BaseException:
        process.kill()
        raise
    return process


def pid_file(log: Path) -> Path:
    """Beside a part's log: which process it is, written before the part is ready."""
    return log.with_suffix(".pid")


def stop_left(log: Path) -> bool:
    """Stop the process that was started with `log`, by whomever; False when it was not running."""
    try:
        process = Process(**json.loads(pid_file(log).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    alive = process.alive()
    process.stop()
    pid_file(log).unlink(missing_ok=True)
    return alive


def last_words(log: Path, begin: int = 0, rows: int = 5) -> str:
    """The end of a sentence about a part that failed: its log's last rows after byte `begin`, and where it lies."""
    with log.open("rb") as file:
        file.seek(begin)
        said = [row.strip() for row in file.read().decode("utf-8", "replace").splitlines() if row.strip()]
    return "".join([f"; its log ({log}) ends:", *(f"\n  {row[:300]}" for row in said[-rows:])]) if said else f" ({log})"


def birth_of(pid: int) -> str | None:
    """When the process `pid` began, in the system's own spelling; None when there is none, or only its remains."""
    _reap(pid)
    if Path("/proc/self/stat").exists():
        fields = _stat(pid)
        return fields[19] if fields is not None and _runs(fields) else None
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = listed.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()


def group_members(group: int) -> list[int]:
    """The living processes of a process group."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=False)
        rows = [row.split() for row in listed.stdout.splitlines()]
        return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    stats = {pid: _stat(pid) for pid in pids}
    return [pid for pid, fields in stats.items() if fields and int(fields[2]) == group and _runs(fields)]


def _stat(pid: int) -> list[str] | None:
    """/proc/<pid>/stat after the command's name: state, parent, group, ...; 18th: threads, 20th: start."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _runs(fields: list[str]) -> bool:
    """False for the remains of a process. While any of its threads has not ended, its ports are still taken."""
    return fields[0] not in "ZX" or int(fields[17]) > 1


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def pick_port(given: int | None, flag: str) -> int:
    """`given`, or a free port of loopback. Raises ConfigError when the port given is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, given or 0))
        except OSError as error:
            raise ConfigError(f"{flag}: port {given} cannot be taken on {HOST}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """True when somebody accepts connections on loopback at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def on_term(handler: Callable[[int, FrameType | None], object]) -> None:
    """Call `handler` at SIGTERM, so that a part can end its own children."""
    signal.signal(signal.SIGTERM, handler)
