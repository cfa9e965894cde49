"""Which tests scripts/test.sh asks pytest for: what is run is a copy of it whose tools only remember their words."""

import shlex
import shutil

import pytest

from tests.scripts.shell import ROOT, run

RECORD = """#!/bin/sh
case "$*" in *"-m pytest"*) printf '%s|' "$@" >>"{log}"; echo >>"{log}";; esac
"""


@pytest.fixture
def asked(tmp_path):
    """The words after `-m pytest` of each lane that a run with these flags calls, 3.5 before 4.1."""
    root, log = tmp_path / "checkout", tmp_path / "log"
    (root / "scripts").mkdir(parents=True)
    (root / ".webevents").mkdir()
    for name in ("test.sh", "common.sh"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    (root / "scripts/setup.sh").write_text("#!/bin/sh\n")
    (root / "scripts/setup.sh").chmod(0o755)
    for venv in (".venv", ".venv-spark35"):
        (root / venv / "bin").mkdir(parents=True)
        for tool in ("python", "ruff", "mypy", "lint-imports", "shellcheck"):
            (root / venv / "bin" / tool).write_text(RECORD.format(log=log))
            (root / venv / "bin" / tool).chmod(0o755)

    def called(*flags):
        done = run([str(root / "scripts/test.sh"), *flags], cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = log.read_text().splitlines()
        log.unlink()
        return [line.removesuffix("|").split("|")[2:] for line in lines]

    return called


def test_by_default_both_lanes_leave_the_markers_to_pyproject(asked):
    assert asked() == [["tests/streaming"], []]
    assert asked("tests/contract", "-k", "x") == [["tests/streaming"], ["tests/contract", "-k", "x"]]


def test_long_runs_what_is_marked_long_on_the_lane_of_4_1(asked):
    assert asked("--long") == [[], ["-m", ""]]
    assert asked("--long", "tests/faults") == [[], ["-m", "", "tests/faults"]]


def test_fast_leaves_out_all_that_needs_more_than_python(asked):
    (words,) = asked("--fast", "-q")
    assert words == ["-m", "not spark and not stack and not slow and not long", "-q"]


def test_the_help_tells_what_long_adds():
    said = run([str(ROOT / "scripts/test.sh"), "--help"], cwd=ROOT).stdout
    assert "marked long" in said and shlex.split(said.split("usage: ")[1].splitlines()[0])[0] == "scripts/test.sh"
