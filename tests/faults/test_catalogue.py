"""The catalogue names tests that exist, has a row for each fault, and is what docs/faults.md shows."""

import ast
import re
from functools import cache

import pytest

from tests.faults import report
from tests.faults.catalogue import INVARIANTS, ROWS

MUST = {
    "collector": (
        "collector-kill collector-sigterm broker-killed broker-stopped spool-full body-empty body-limit body-above "
        "body-10mb body-dripped gzip-bomb json-deep json-nan json-surrogates json-bom json-keys id-4kb id-null "
        "clock-9999 clock-1970"
    ),
    "job": (
        "everything job-offsets job-write job-staged job-published job-commit commit-deleted two-drivers "
        "checkpoint-damaged checkpoint-older checkpoint-new offsets-empty broker-bounced poison day-ahead late-199 "
        "late-201 late-1h late-1d catch-up quiet hot-visitor"
    ),
    "bucket and function": (
        "events-thrice events-late answer-lost job-error 409-running 409-done 409-failed quota avro-bad avro-foreign "
        "function-kill give-up"
    ),
}
"""The faults that the product promises to survive."""

NODE = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)(?:\[(?P<parameter>.+)\])?")


@cache
def parsed(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of a file's tests, and all its texts."""
    tree = ast.parse((report.ROOT / file).read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(tests), frozenset(texts)


@pytest.mark.parametrize("part", MUST)
def test_each_fault_that_must_be_survived_has_a_row(part):
    assert set(MUST[part].split()) <= {row.id for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_test_that_a_row_names_exists(row):
    assert row.tests and row.invariants
    for node in row.tests:
        match = NODE.fullmatch(node)
        assert match, node
        tests, texts = parsed(match["file"])
        assert match["test"] in tests, node
        assert match["parameter"] is None or match["parameter"] in texts, node


def test_rows_have_ids_of_their_own_and_known_invariants():
    assert len({row.id for row in ROWS}) == len({row.fault for row in ROWS}) == len(ROWS)
    assert {name for row in ROWS for name in row.invariants} == set(INVARIANTS)


def table():
    """The rows of the page's table, a tuple of cells each."""
    lines = [line for line in report.PAGE.read_text().splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines][1:]


def test_the_page_shows_the_catalogues_rows():
    assert [cells[:3] for cells in table()] == [report.cells(row, {})[:3] for row in ROWS]
    assert around_the_table(report.PAGE.read_text()) == around_the_table(report.page({}))


def around_the_table(text):
    return [line for line in text.splitlines() if not line.startswith("| ")]


def test_what_the_page_says_of_each_row_came_from_a_run_in_which_nothing_failed():
    for fault, _, _, result, seconds in table():
        assert re.fullmatch(r"\d+ not run|\d+ passed(, \d+ skipped)?(, \d+ not run)?", result), fault
        assert bool(seconds) is ("passed" in result) and re.fullmatch(r"(\d+\.\d)?", seconds)


XML = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_c[one]" time="1.25"/>
<testcase classname="tests.a.test_b" name="test_c[two]" time="0.5"><failure message="x">y</failure></testcase>
<testcase classname="tests.a.test_b" name="test_d" time="0.1"><skipped message="x"/></testcase>
<testcase classname="tests.a.test_b" name="test_cc" time="9"/>
</testsuite></testsuites>"""


def test_a_rows_result_is_that_of_all_its_parameters(tmp_path):
    (tmp_path / "x.xml").write_text(XML)
    outcomes = report.read_outcomes([tmp_path / "x.xml"])
    file = "tests/a/test_b.py"
    row = ROWS[0]._replace(tests=(f"{file}::test_c", f"{file}::test_d"))
    assert report.cells(row, outcomes)[3:] == ("1 FAILED, 1 passed, 1 skipped", "1.9")
    assert report.cells(row._replace(tests=(f"{file}::test_c[one]",)), outcomes)[3:] == ("1 passed", "1.2")
    assert report.cells(row._replace(tests=(f"{file}::test_e",)), outcomes)[3:] == ("1 not run", "")
    assert (
        report.cells(row._replace(tests=(f"{file}::test_e", f"{file}::test_cc")), outcomes)[3] == "1 passed, 1 not run"
    )


def test_a_later_runs_word_counts(tmp_path):
    (tmp_path / "1.xml").write_text(XML)
    (tmp_path / "2.xml").write_text(XML.replace('<failure message="x">y</failure>', ""))
    outcomes = report.read_outcomes([tmp_path / "1.xml", tmp_path / "2.xml"])
    assert outcomes["tests/a/test_b.py::test_c[two]"] == report.Outcome("passed", 0.5)
