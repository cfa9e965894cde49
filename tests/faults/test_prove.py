"""`webevents prove` as a person runs it: visitors, kill -9 of every part, healing, and the invariants."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from local.faults import KINDS

ROOT = Path(__file__).parents[2]
INVARIANTS = {
    "I1 no loss", "I2 no duplicate", "I3 no phantom", "I4 accounting", "I5 grouping", "I6 equality", "I7 liveness",
    "I8 bounded", "I9 loud",
}  # fmt: skip


def prove(folder, *flags, timeout_s):
    """The verdict as JSON; what was said is shown where the test fails."""
    verdict = folder / "verdict.json"
    command = [sys.executable, "cli.py", "prove", *flags, "--state", str(folder / "state"), "--json", str(verdict)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    print(done.stdout[-8000:], done.stderr[-2000:])
    assert done.returncode == 0
    assert "proved: nothing lost, nothing twice" in done.stdout
    told = json.loads(verdict.read_text())
    assert told["holds"] and all(finding["holds"] for finding in told["findings"])
    assert {finding["invariant"] for finding in told["findings"]} == INVARIANTS
    return told


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_part_killed_once_under_load_loses_nothing_and_doubles_nothing(tmp_path):
    told = prove(tmp_path, "--seconds", "15", "--seed", "7", timeout_s=560)
    assert set(told["kills"]) == set(KINDS)
    assert told["events"]["ok"] > 0 and told["events"]["refused"] > 0 and told["late_repaired"] > 0


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3100)
def test_a_walk_of_100_rounds_of_killing_loses_nothing_and_doubles_nothing(tmp_path):
    told = prove(tmp_path, "--kills", "100", "--per-second", "50", "--seed", "1", timeout_s=3000)
    assert sum(told["kills"].values()) >= 100
    assert set(told["kills"]) == set(KINDS)
    points = {point.rpartition(": ")[2] for point in told["kills_by_point"] if point.startswith("job, ")}
    assert len(points) >= 4, "at a point that is over too soon the job is killed at the next one"


REFUSED = {
    "a part that is none": (("--kill", "nonsense"), "--kill: want some of collector, broker, job, function, got"),
    "a part that is none among others": (("--kill", "job,brokr"), "got 'brokr'"),
    "no part": (("--kill", ""), "--kill: "),
    "no time": (("--seconds", "0"), "--seconds: "),
    "a negative number of rounds": (("--kills", "-1"), "--kills: "),
    "no events": (("--per-second", "0"), "--per-second: "),
    "a seed that is no number": (("--seed", "x"), "--seed: "),
    "a misspelt flag": (("--second", "5"), "did you mean --seconds?"),
}


@pytest.mark.parametrize(("flags", "told"), REFUSED.values(), ids=REFUSED)
def test_a_flag_at_fault_is_told_before_anything_starts(tmp_path, capsys, flags, told):
    assert cli.main(["prove", *flags, "--state", str(tmp_path / "state")]) == 78
    assert told in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").touch()
    assert cli.main(["prove", "--state", str(tmp_path)]) == 78
    assert "holds other things than an earlier run; name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
