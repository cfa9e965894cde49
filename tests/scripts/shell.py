"""Running the scripts as a person would, and reading the commands that a dry run prints."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_script(
    name: str, *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One run of scripts/<name>, with `env` laid over the environment."""
    return run([str(ROOT / "scripts" / name), *words], cwd=cwd, env=env)


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One command, without input and with a bound on its time."""
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def printed_commands(dry_run: str) -> list[list[str]]:
    """The words of each command in a dry run's output; those inside $(...) and after || count as well."""
    text = re.sub(r"^#.*$", "", dry_run, flags=re.MULTILINE).replace("\\\n", " ").replace("||\n", "\n")
    inner = re.findall(r"\$\(([^()]*)\)", text)
    lines = [line.replace(">/dev/null 2>&1", "") for line in [*text.splitlines(), *inner]]
    return [shlex.split(line) for line in lines if line.strip()]
