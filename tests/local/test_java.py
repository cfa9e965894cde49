from pathlib import Path

import pytest

from contract.failures import ConfigError
from local.java import find_java


def install(folder: Path, version: str, *, at: str = "java") -> Path:
    program = folder / at
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea"])
def test_java_from_17_on_is_taken(tmp_path: Path, version: str) -> None:
    java = install(tmp_path, version)
    assert find_java({"PATH": str(tmp_path)}) == str(java)


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    install(tmp_path, "17.0.1")
    java = install(tmp_path / "home", "21.0.1", at="bin/java")
    assert find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "home")}) == str(java)


@pytest.mark.parametrize(
    ("version", "told"), [("1.8.0_402", "is 8,"), ("11.0.2", "is 11,"), ("odd", "of unknown version")]
)
def test_an_older_java_is_told_with_what_to_install(tmp_path: Path, version: str, told: str) -> None:
    install(tmp_path, version)
    with pytest.raises(ConfigError, match=f"{told}.* the broker needs 17: install a Java 17 runtime"):
        find_java({"PATH": str(tmp_path)})


def test_no_java_is_told_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Java is missing: install a Java 17 runtime"):
        find_java({"PATH": str(tmp_path)})
