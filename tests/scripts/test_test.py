"""Which tests scripts/test.sh asks pytest for: what is run is a copy of it whose tools only remember their words."""

import os
import shlex
import shutil
import signal
import subprocess
import time

import pytest

from tests.scripts.shell import ROOT, run

LANES = (".venv-spark35", ".venv")
RECORD = """#!/bin/sh
case "$*" in *"-m pytest"*) printf '%s|' "$@" >>"{log}"; echo >>"{log}";; esac
"""


def stub(file, text):
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with scripts/test.sh; each lane's tools write their words into the lane's file beside it."""
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    (root / ".webevents").mkdir()
    for name in ("test.sh", "common.sh"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    stub(root / "scripts/setup.sh", "#!/bin/sh\n")
    for venv in LANES:
        (root / venv / "bin").mkdir(parents=True)
        for tool in ("python", "ruff", "mypy", "lint-imports", "shellcheck"):
            stub(root / venv / "bin" / tool, RECORD.format(log=tmp_path / f"{venv}.log"))
    return root


@pytest.fixture
def asked(checkout):
    """The words after `-m pytest` of each lane that a run with these flags calls, 3.5 before 4.1."""
    logs = [checkout.parent / f"{venv}.log" for venv in LANES]

    def called(*flags):
        done = run([str(checkout / "scripts/test.sh"), *flags], cwd=checkout)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line for log in logs if log.exists() for line in log.read_text().splitlines()]
        for log in logs:
            log.unlink(missing_ok=True)
        return [line.removesuffix("|").split("|")[2:] for line in lines]

    return called


@pytest.mark.parametrize("venv", LANES)
def test_a_lane_that_fails_is_told_with_what_it_said(checkout, venv):
    stub(checkout / venv / "bin/python", "#!/bin/sh\necho 1 failed in $0\nexit 1\n")
    done = run([str(checkout / "scripts/test.sh")], cwd=checkout)
    lane = {".venv": "4.1", ".venv-spark35": "3.5"}[venv]
    assert done.returncode == 1
    assert f"1 failed in {venv}/bin/python" in done.stdout
    assert [line.split()[:4] for line in done.stdout.splitlines() if "FAILED" in line] == [
        ["pytest,", "PySpark", lane, "FAILED"], ["all", "FAILED", *done.stdout.splitlines()[-2].split()[2:]],
    ]  # fmt: skip


def test_a_fault_before_the_tests_is_no_fault_of_the_lane_beside(checkout):
    stub(checkout / ".venv/bin/ruff", "#!/bin/sh\nexit 1\n")
    done = run([str(checkout / "scripts/test.sh")], cwd=checkout)
    assert done.returncode == 1
    assert [line.split()[-3] for line in done.stdout.splitlines() if line.startswith("pytest, ")] == ["ok", "ok"]


def test_an_interrupt_ends_both_lanes(checkout):
    for venv in LANES:
        stub(checkout / venv / "bin/python", '#!/bin/sh\necho $$ >>"$0.pid"\nexec sleep 100\n')
    pids = [checkout / venv / "bin/python.pid" for venv in LANES]
    process = subprocess.Popen([str(checkout / "scripts/test.sh")], cwd=checkout, start_new_session=True)
    try:
        wait_for(lambda: all(pid.exists() and pid.read_text().strip() for pid in pids))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) != 0
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid.read_text().strip()}") for pid in pids))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


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
