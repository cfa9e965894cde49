"""Cloud Functions: Google's functions-framework over a staged copy of the function, restarted when it ends."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from contract.failures import ConfigError
from local import processes
from local.processes import HOST, ROOT, Process
from local.state import log_of

TARGETS = {"on_object_finalized": "cloudevent", "update_user_cart": "event"}
"""The function's entry points, and the signature that the framework calls them with."""
READY_S = 60.0
PACK = ROOT / "scripts" / "pack.py"
"""Fills the folder that is deployed; the same one is run here."""


def stage(folder: Path) -> Path:
    """Lay the function's source into `folder`, in place of an earlier one: main.py, requirements.txt, packages."""
    done = subprocess.run([sys.executable, PACK, "function", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"the function's source cannot be laid into {folder}: {done.stderr.strip()}")
    return folder


def start(
    state: Path, variables: Mapping[str, str], *, port: int | None = None, target: str = "on_object_finalized"
) -> tuple[Process, str]:
    """Start the host; its process and address. `variables` come on top of the environment, less its WEBEVENTS_ ones.

    The function runs from `state`/function, so that a change in the repository is not half visible to it.
    """
    chosen = processes.pick_port(port, "--function-port")
    source = stage(state / "function")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEBEVENTS_")}
    # The staged packages come before any others of their names; the root is for the supervisor.
    path = os.pathsep.join([str(source), str(ROOT)])
    environ = {**kept, **variables, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    framework: list[str | Path] = [sys.executable, "-m", "functions_framework", "--source", source / "main.py"]
    framework += ["--target", target, "--signature-type", TARGETS[target], "--host", HOST, "--port", str(chosen)]
    supervisor: list[str | Path] = [sys.executable, "-m", "local.supervise", str(chosen)]
    process = processes.start(
        "function", [*supervisor, *framework], log=log_of(state, "function"),
        ready=lambda: processes.listens(chosen), timeout_s=READY_S, environ=environ, cwd=source,
    )  # fmt: skip
    return process, f"http://{HOST}:{chosen}"
