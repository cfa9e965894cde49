"""The rooms hold what the design says, and no more."""

import ast
import re
from pathlib import Path

import pytest

from contract.reasons import Reason

ROOT = Path(__file__).parents[2]
PACKAGES = [name for name in ("contract", "collector", "streaming", "cloud_functions", "warehouse", "feeds", "local")]
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_the_contract_is_a_closed_list_of_modules():
    modules = {path.name for path in (ROOT / "contract").glob("*.py")}
    assert modules == {
        "__init__.py", "failures.py", "log.py", "message.py", "names.py", "reasons.py", "settings.py",
    }  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_fits_in_the_head(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno > 50] == []


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reject_reason_is_raised_and_tested(reason):
    used = rf"\bReason\.{reason.name}\b"
    raised = [path for path in MODULES if path.name != "reasons.py" and re.search(used, path.read_text())]
    tested = [path for path in TESTS if re.search(rf"{used}|[\"']{reason.value}[\"']", path.read_text())]
    assert raised
    assert tested


FORBIDDEN = {
    "a registry's host": r"pypi\.org|maven\.org|files\.pythonhosted|deb\.debian\.org|registry\.npmjs",
    "a path of one machine": r"/root/|/home/\w+|/work/",
}


def tracked_texts():
    for folder in ("contract", "collector", "streaming", "cloud_functions", "warehouse", "feeds", "local", "jars",
                   "scripts", "docs", "bench"):  # fmt: skip
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".sh", ".sql", ".txt", ".yaml", ".js", ".html"} and path.is_file():
                yield path
    yield ROOT / "README.md"
    yield ROOT / "SECURITY.md"


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_text_names(what):
    named = [str(path) for path in tracked_texts() if re.search(FORBIDDEN[what], path.read_text(encoding="utf-8"))]
    assert named == []
