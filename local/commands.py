"""`webevents up`, `down`, `status` and `env`: the cloud on this machine from the command line."""

import json
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from contract.failures import ConfigError
from contract.settings import read_flags, setting, switch
from local import stack
from local.collector import SPOOL
from local.deliveries import GIVEN_UP, count_outcomes, read_journal
from local.processes import on_term
from local.stack import FOLDER, JOURNAL, StackSettings
from local.state import FILE, LOCK, State, read_state

WIDTH = 12
DATA = ("kafka", "storage", "bigquery", "function", "bridge", SPOOL, "logs", FILE, LOCK)
"""What a state folder holds; --wipe removes these and nothing else."""


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """Settings of a command on a running cloud."""

    state: Path = setting(Path, default=Path(FOLDER), help="folder that `webevents up` was given")


@dataclass(frozen=True, kw_only=True)
class DownSettings(FolderSettings):
    """Settings of `webevents down`."""

    wipe: bool = setting(switch, default=False, help="remove the data too: topics, objects, tables, logs")


@dataclass(frozen=True, kw_only=True)
class StatusSettings(FolderSettings):
    """Settings of `webevents status`."""

    json: bool = setting(switch, default=False, help="print JSON")


def up(argv: Sequence[str]) -> int:
    """Start the cloud; says where when it runs already."""
    text = "Start Kafka, Cloud Storage, the function and the warehouse on this machine."
    settings = read_flags(StackSettings, argv, prog="webevents up", description=text)
    console = Console()
    state = stack.running(settings.state.resolve())
    if state is not None:
        console.print(f"the local cloud runs already, in {escape(str(state.folder))}")
        return _print_status(console, state)
    on_term(_leave)
    stack.start(settings, lambda *ready: print_ready(console, *ready))
    console.print('\n[dim]next:[/dim] eval "$(webevents env)"   [dim]ends with:[/dim] webevents down')
    return 0


def down(argv: Sequence[str]) -> int:
    """Stop the cloud; there may be none."""
    text = "Stop the local cloud. Its data stays for the next `webevents up`, unless --wipe is given."
    settings = read_flags(DownSettings, argv, prog="webevents down", description=text)
    folder = settings.state.resolve()
    console = Console()
    console.print("stopped" if stack.stop(folder) else "nothing runs")
    if settings.wipe and folder.is_dir():
        wipe(folder)
        console.print(f"removed the data in {escape(str(folder))}")
    return 0


def wipe(folder: Path) -> None:
    """Remove a stopped cloud's data from its state folder."""
    for name in DATA:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def status(argv: Sequence[str]) -> int:
    """Print what runs; 1 when a part has died, an event was given up, or nothing runs."""
    settings = read_flags(StatusSettings, argv, prog="webevents status", description="What runs, and at which address.")
    state = read_state(settings.state.resolve())
    if settings.json:
        found = to_status(state)
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return 0 if found["running"] else 1
    if state is None:
        Console().print("the local cloud does not run; webevents up starts it")
        return 1
    return _print_status(Console(), state)


def env(argv: Sequence[str]) -> int:
    """Print export lines for a shell's eval."""
    text = 'Shell variables that point Google\'s clients at the local cloud: eval "$(webevents env)"'
    settings = read_flags(FolderSettings, argv, prog="webevents env", description=text)
    state = stack.running(settings.state.resolve())
    if state is None:
        raise ConfigError("the local cloud does not run; webevents up starts it")
    for name, value in stack.environment(state).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def to_status(state: State | None) -> dict[str, Any]:
    """What --json prints. `running` is true when every part runs and no event was given up."""
    if state is None:
        return {"running": False, "parts": {}}
    deliveries = read_journal(state.folder / JOURNAL)
    given_up = [delivery.name for delivery in deliveries.values() if delivery.outcome == GIVEN_UP]
    parts = {
        name: {"address": part.address, "pid": part.process.pid, "alive": part.process.alive()}
        for name, part in state.parts.items()
    }
    return {
        "running": len(parts) == len(stack.STARTERS) and all(part["alive"] for part in parts.values()) and not given_up,
        "state": str(state.folder),
        "parts": parts,
        "events": count_outcomes(deliveries),
        "given_up": given_up,
    }


def _print_status(console: Console, state: State) -> int:
    found = to_status(state)
    for name in stack.STARTERS:
        part = found["parts"].get(name)
        word = "[green]runs[/green]" if part and part["alive"] else "[red]dead[/red]"
        log = "" if part and part["alive"] else f"   its log: {state.folder / 'logs' / name}.log"
        console.print(f"{name:<{WIDTH}}{word}  {part['address'] if part else 'not started'}{log}", soft_wrap=True)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found["events"].items())
    console.print(f"{'events':<{WIDTH}}{counts}", highlight=False)
    for name in found["given_up"]:
        console.print(f"[red]given up[/red]: {escape(name)}", soft_wrap=True)
    return 0 if found["running"] else 1


def print_ready(console: Console, name: str, address: str, ready_s: float) -> None:
    """The line of a part that has started."""
    console.print(f"{name:<{WIDTH}}{address:<28} ready in {ready_s:.1f} s", highlight=False, soft_wrap=True)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
