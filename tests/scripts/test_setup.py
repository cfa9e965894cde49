"""The parts of the set-up that decide: which Java fits, what is said when something is missing."""

from pathlib import Path

import pytest

from tests.scripts.shell import ROOT, run, run_script


def sourced(snippet: str, **env: str) -> str:
    """What a line of shell prints that uses scripts/common.sh."""
    done = run(["bash", "-euc", f"PROGRAM=t; source scripts/common.sh; {snippet}"], cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def fake_java(folder: Path, first_line: str) -> Path:
    java = folder / "bin/java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{first_line}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("first_line", "fits"),
    [
        pytest.param('java version "1.8.0_402"', "no", id="Java 8 is too old"),
        pytest.param('openjdk version "11.0.25" 2024-10-15', "no", id="Java 11 is too old"),
        pytest.param('openjdk version "17.0.15" 2025-04-15', "yes", id="Java 17 fits"),
        pytest.param('openjdk version "21" 2023-09-19', "yes", id="Java 21 without a minor version fits"),
        pytest.param('openjdk version "25.0.1" 2025-10-21', "no", id="Java 25 is too new for Hadoop"),
        pytest.param("Segmentation fault", "no", id="a Java that does not run fits not"),
    ],
)
def test_java_is_taken_by_its_version(tmp_path: Path, first_line: str, fits: str) -> None:
    home = fake_java(tmp_path, first_line)
    assert sourced(f"if fits_java '{home}/bin/java'; then echo yes; else echo no; fi") == fits


def test_a_java_home_that_does_not_fit_is_passed_over(tmp_path: Path) -> None:
    old, good = (
        fake_java(tmp_path / "old", 'java version "1.8.0_402"'),
        fake_java(tmp_path / "good", 'x version "17.0.1"'),
    )
    env = {"JAVA_HOME": str(old), "PATH": f"{good}/bin:/usr/bin:/bin"}
    assert sourced('use_java; echo "$JAVA_HOME"', **env) == str(good)


def test_an_old_python_is_named_with_what_is_needed(tmp_path: Path) -> None:
    python = tmp_path / "python3.9"
    python.write_text('#!/bin/sh\ncase "$*" in -V) echo "Python 3.9.2" ;; *version_info*) exit 1 ;; esac\n')
    python.chmod(0o755)
    done = run_script("setup.sh", env={"PYTHON": str(python)})
    sentence = f"webevents needs Python 3.10 or newer, and {python} is Python 3.9.2; PYTHON=/path/to/another names one"
    assert (done.returncode, done.stderr) == (78, f"setup.sh: {sentence}\n")


@pytest.mark.parametrize(
    ("script", "word", "sentence"),
    [
        ("setup.sh", "--spark", "--spark: no such flag; did you mean --spark35?"),
        ("test.sh", "--fats", "--fats: no such flag; did you mean --fast?"),
        ("build.sh", "functoin", "functoin: no such part; did you mean function?"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(script: str, word: str, sentence: str) -> None:
    done = run_script(script, word)
    assert (done.returncode, done.stderr) == (78, f"{script}: {sentence}\n")


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "scripts").glob("*.sh") if path.name != "common.sh")
)
def test_help_says_how_to_use_each_script(script: str) -> None:
    done = run_script(script, "--help")
    assert done.returncode == 0
    assert f"usage: scripts/{script}" in done.stdout


def test_a_quoted_line_is_read_back_unchanged() -> None:
    words = ["it's", "a b", "$HOME", "", "^#^x=1,2", "back\\slash", "--flag=`x`"]
    line = sourced(
        " ".join(["quoted", *(f"'{word.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'" for word in words)])
    )
    assert run(["bash", "-c", f"printf '%s\\n' {line}"], cwd=ROOT).stdout.splitlines() == words
