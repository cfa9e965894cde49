"""`webevents bench`: the benchmarks of the checkout, which the wheel does not carry."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

from contract.failures import ConfigError
from local.job import ROOT


def main(argv: Sequence[str]) -> int:
    """Run bench/command.py with this Python; its exit code. Raises ConfigError where something is missing."""
    if not (ROOT / "bench" / "command.py").exists():
        raise ConfigError("the benchmarks are not in the wheel: run it from a checkout of webevents")
    if importlib.util.find_spec("polars") is None:
        raise ConfigError("the benchmarks compare rows by Polars, which is missing: run scripts/setup.sh --dev")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}  # noqa: TID251 - an entry point
    return subprocess.run([sys.executable, "-m", "bench.command", *argv], env=environ, check=False).returncode
