"""Builds that are broken on purpose, one guarantee each: the proof must fail, and name the invariant."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


class Break(NamedTuple):
    """`edits`: file, what stands there, what is put in its place. `kill`: the parts whose death shows it."""

    edits: tuple[tuple[str, str, str], ...]
    kill: str
    invariant: str


BREAKS = {
    "an object that is there is written again": Break(
        (
            ("streaming/storage.py", "**options, if_generation_match=0)", "**options)"),
            ("streaming/publish.py", "name = self._published(target)\n", "name = None\n"),
        ),
        "job", "I2 no duplicate",
    ),
    "a load job has a new id each time": Break(
        (
            (
                "cloud_functions/load.py", "        return load_id(found.batch.kind.table,",
                "        import uuid\n\n        return uuid.uuid4().hex + load_id(found.batch.kind.table,",
            ),
        ),
        "function", "I2 no duplicate",
    ),
    "200 is said before the broker has acknowledged": Break(
        (
            (
                "collector/sink.py",
                "self._producer.send(records, self._ack_wait_s, partial(self._on_answer, records, done))",
                "self._producer.send(records, self._ack_wait_s, lambda fault: None)\n            done(None)",
            ),
        ),
        "broker,collector", "I1 no loss",
    ),
}  # fmt: skip


@pytest.fixture
def build(tmp_path):
    """A copy of the product, to be broken."""
    copy = tmp_path / "build"
    left_out = shutil.ignore_patterns(".venv*", ".git", ".webevents", "tests", "jars", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=left_out)
    (copy / "jars").symlink_to(ROOT / "jars")
    return copy


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_build_is_found_out(build, tmp_path, name):
    broken = BREAKS[name]
    for file, old, new in broken.edits:
        text = (build / file).read_text()
        assert text.count(old) == 1
        (build / file).write_text(text.replace(old, new))
    command = [sys.executable, "cli.py", "prove", "--seconds", "1", "--seed", "7", "--kill", broken.kill]
    command += ["--state", str(tmp_path / "state"), "--json", str(tmp_path / "out.json")]
    environ = {**os.environ, "PYTHONPATH": str(build)}
    done = subprocess.run(command, cwd=build, env=environ, capture_output=True, text=True, timeout=800)
    print(done.stdout[-6000:], done.stderr[-2000:])
    assert done.returncode == 1
    found = json.loads((tmp_path / "out.json").read_text())
    assert not found["holds"]
    assert broken.invariant in [each["invariant"] for each in found["findings"] if not each["holds"]]
    assert f"IT DOES NOT HOLD: {broken.invariant}" in " ".join(done.stdout.split())
