"""The wheel carries its schemas and DDL, and nothing that is not shipped."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (made,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(made).namelist())


@pytest.mark.parametrize(
    "name", ["contract/schemas/session.v1.avsc", "warehouse/sessions.sql", "streaming/job.py", "cli.py"]
)
def test_the_wheel_has(wheel, name):
    assert name in wheel


def test_the_wheel_has_no_tests(wheel):
    assert not [name for name in wheel if name.startswith(("tests/", "bench/", "scripts/"))]
