"""`webevents bench`: the benchmarks of the checkout, which the wheel does not carry."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from contract.failures import ConfigError
from local.job import ROOT


def main(argv: Sequence[str]) -> NoReturn:
    """Become bench/command.py under this Python. Raises ConfigError where something is missing."""
    if not (ROOT / "bench" / "command.py").exists():
        raise ConfigError("the benchmarks are not in the wheel: run it from a checkout of webevents")
    if importlib.util.find_spec("polars") is None:
        raise ConfigError("the benchmarks compare rows by Polars, which is missing: run scripts/setup.sh --dev")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}  # noqa: TID251 - an entry point
    os.execve(sys.executable, [sys.executable, "-m", "bench.command", *argv], environ)
