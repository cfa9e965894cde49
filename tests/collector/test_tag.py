"""The tag's file: small, made of its source, and nothing in it that a strict policy forbids."""

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import brotli
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE, SERVED = ROOT / "collector" / "tag.js", ROOT / "collector" / "tag.min.js"
BROTLI_BYTES = 2_000


def test_the_tag_has_at_most_2000_bytes_on_the_wire() -> None:
    assert len(brotli.compress(SERVED.read_bytes(), mode=brotli.MODE_TEXT)) <= BROTLI_BYTES
    assert len(gzip.compress(SERVED.read_bytes(), 9)) <= BROTLI_BYTES


def test_the_served_file_is_made_of_the_source() -> None:
    lock = dict(line.split()[::-1] for line in (ROOT / "collector" / "tag.lock").read_text().splitlines())
    for file in (SOURCE, SERVED):
        assert lock[file.name] == hashlib.sha256(file.read_bytes()).hexdigest(), "run scripts/build_tag.sh"


COMMENTS = re.compile(r"/\*.*?\*/|(?:^|(?<=\s))//[^\n]*", re.DOTALL)
LITERALS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")


def words(script: str) -> tuple[set[str], set[str]]:
    """What no minifier may change: the texts in quotes, and the names behind a dot."""
    code = COMMENTS.sub("", script)
    names = re.findall(r"[\w)\]]\??\.([A-Za-z]\w+)", LITERALS.sub("0", code))
    return {text[1:-1] for text in LITERALS.findall(code)}, set(names)


def test_the_served_file_says_what_the_source_says() -> None:
    source, served = words(SOURCE.read_text(encoding="utf-8")), words(SERVED.read_text(encoding="utf-8"))
    assert len(source[0]) > 30
    assert len(source[1]) > 50
    assert served == source, "run scripts/build_tag.sh"


def test_the_lock_names_the_minifier_that_the_build_uses() -> None:
    lock = (ROOT / "collector" / "tag.lock").read_text(encoding="utf-8").splitlines()[0]
    build = (ROOT / "scripts" / "build_tag.sh").read_text(encoding="utf-8")
    assert lock == f"terser {re.search(r'^VERSION=(.+)$', build, re.MULTILINE)[1]}"  # type: ignore[index]


@pytest.mark.skipif(
    not (ROOT / "node_modules" / ".bin" / "terser").exists() or shutil.which("node") is None,
    reason="no terser: npm install --no-save terser",
)
def test_a_fresh_build_is_the_same() -> None:
    subprocess.run([ROOT / "scripts" / "build_tag.sh", "--check"], check=True)


@pytest.mark.parametrize("file", [SOURCE, SERVED], ids=lambda file: file.name)
def test_nothing_in_it_needs_a_lax_policy(file: Path) -> None:
    assert not re.search(r"\beval\b|new Function|innerHTML|document\.write|setTimeout\(['\"]", file.read_text())
