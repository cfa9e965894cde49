"""What the function is deployed with is what it is tested with."""

from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PINS = (ROOT / "cloud_functions" / "requirements.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("pin", PINS)
def test_the_deployed_version_is_the_tested_one(pin: str) -> None:
    name, _, pinned = pin.partition("==")
    assert pinned == version(name)


def test_every_package_that_the_function_imports_is_named() -> None:
    named = {pin.partition("==")[0] for pin in PINS}
    assert named == {"functions-framework", "google-cloud-bigquery", "google-cloud-storage"}
