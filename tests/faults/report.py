"""Writes docs/faults.md: `python -m tests.faults.report [--long] [XML ...]`.

Runs the tests that the catalogue names and takes results and seconds from pytest's JUnit XML; or reads them from the
XML files of earlier runs (`pytest --junit-xml=FILE`), the last one first where several have a test.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.faults.catalogue import INVARIANTS, ROWS, Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
NOT_RUN = "not run"
HEAD = """\
# Faults that are survived

Each fault is injected into the real part: collector, broker, Spark job, storage server, function, and the stand-in of
the warehouse. `webevents prove` kills four of them under load for as long as you like, and checks all invariants.

The seconds are those of one run, with the set-up of the servers that a test starts, on two cores that did other work
too: upper bounds. Where a row has several tests they are the sum. What is marked `long` runs with
`scripts/test.sh --long` only. `tests/faults/catalogue.py` says which tests a row stands for;
`python -m tests.faults.report` runs them and writes this page.

"""


class Outcome(NamedTuple):
    """One test with its parameter, as a run had it."""

    result: str
    seconds: float


def run_tests(folder: Path, *, long: bool) -> Path:
    """Run what the catalogue names; the JUnit XML."""
    xml = folder / "junit.xml"
    nodes = sorted({node for row in ROWS for node in row.tests})
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={xml}", *(["-m", ""] if long else []), *nodes]
    subprocess.run(command, cwd=ROOT, check=False)
    return xml


def read_outcomes(files: Iterable[Path]) -> dict[str, Outcome]:
    """Node id -> how it went; a later file's word counts."""
    found: dict[str, Outcome] = {}
    for file in files:
        for case in ET.parse(file).iter("testcase"):
            node = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
            ill = {child.tag for child in case} & {"failure", "error", "skipped"}
            result = "skipped" if "skipped" in ill else "FAILED" if ill else "passed"
            found[node] = Outcome(result, float(case.get("time", "0")))
    return found


def outcomes_of(row: Row, outcomes: Mapping[str, Outcome]) -> list[Outcome]:
    """Of all tests of a row that were run."""
    return [
        outcome
        for node, outcome in outcomes.items()
        if any(node == test or node.startswith(f"{test}[") for test in row.tests)
    ]


def cells(row: Row, outcomes: Mapping[str, Outcome]) -> tuple[str, str, str, str, str]:
    """fault, how, invariants, result, seconds"""
    found = outcomes_of(row, outcomes)
    counts = Counter(outcome.result for outcome in found)
    counts[NOT_RUN] = sum(not outcomes_of(row._replace(tests=(test,)), outcomes) for test in row.tests)
    result = ", ".join(f"{counts[name]} {name}" for name in ("FAILED", "passed", "skipped", NOT_RUN) if counts[name])
    seconds = f"{sum(outcome.seconds for outcome in found):.1f}" if found else ""
    return row.fault, row.how, " ".join(row.invariants), result, seconds


def page(outcomes: Mapping[str, Outcome]) -> str:
    """The whole page."""
    lines = ["| fault | injected how | invariant | result | seconds |", "|---|---|---|---|---:|"]
    lines += [f"| {' | '.join(cells(row, outcomes))} |" for row in ROWS]
    invariants = [f"- **{name}** {text}" for name, text in INVARIANTS.items()]
    return HEAD + "\n".join(lines) + "\n\n## The invariants\n\n" + "\n".join(invariants) + "\n"


def main(argv: list[str]) -> int:
    """1 where a test failed."""
    files = [Path(word) for word in argv if not word.startswith("--")]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = read_outcomes(files or [run_tests(Path(folder), long="--long" in argv)])
    PAGE.write_text(page(outcomes), encoding="utf-8")
    print(f"{PAGE}: {len(ROWS)} faults, {len(outcomes)} tests")
    return int(any(outcome.result == "FAILED" for outcome in outcomes.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
