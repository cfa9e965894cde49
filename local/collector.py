"""The collector, started again when it ends."""

import sys
from pathlib import Path

from local import processes
from local.processes import HOST, ROOT, Process
from local.state import log_of

SPOOL = "spool"
RATE = 1_000_000
"""Events a second from one address: every visitor here has the same one."""


def start(state: Path, *, servers: str, port: int | None = None) -> tuple[Process, str]:
    """Start the collector on the broker at `servers`; its process and address. Any site may send to it.

    It starts without a broker too, and keeps what comes in `state`/spool.
    """
    chosen = processes.pick_port(port, "--collector-port")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "local.supervise",
        str(chosen),
        sys.executable,
        "-m",
        "collector",
    ]
    command += ["--kafka-servers", servers, "--host", HOST, "--port", str(chosen), "--spool", state / SPOOL]
    command += ["--sites", "*", "--rate", str(RATE)]
    process = processes.start(
        "collector", command, log=log_of(state, "collector"), ready=lambda: processes.listens(chosen), cwd=ROOT
    )
    return process, f"http://{HOST}:{chosen}"
