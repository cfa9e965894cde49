import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "jars" / "fetch.py"
LINES = sorted(path.stem for path in SCRIPT.parent.glob("*.txt"))

# Stands where Java does: retrieves what the Ivy file asks for, except jars named `absent`.
JAVA = """#!{python}
import re, sys
words = dict(zip(sys.argv, sys.argv[1:]))
wanted = re.findall('org="(.*?)" name="(.*?)" rev="(.*?)"', open(words["-ivy"]).read())
open({starts!r}, "a").write("start\\n")
lacking = [row for row in wanted if row[1] == "absent"]
for org, name, rev in lacking:
    print(f"\\t\\tmodule not found: {{org}}#{{name}};{{rev}}")
if lacking:
    raise SystemExit(1)
import pathlib
for org, name, rev in wanted:
    path = words["-retrieve"].replace("[organisation]", org).replace("[artifact]", name).replace("[revision]", rev)
    path = pathlib.Path(path.replace("[ext]", "jar"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"bytes of " + name.encode())
"""


@pytest.fixture(scope="module")
def jars() -> ModuleType:
    spec = importlib.util.spec_from_file_location("jars_fetch", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA.format(python=sys.executable, starts=str(tmp_path / "starts")))
    java.chmod(0o755)
    ivy = tmp_path / "spark" / "jars" / "ivy-2.5.3.jar"
    ivy.parent.mkdir(parents=True)
    ivy.touch()
    return {"JAVA_HOME": str(tmp_path / "java"), "SPARK_HOME": str(tmp_path / "spark"), "PATH": ""}


def row(name: str, content: str | None = None) -> str:
    sha256 = hashlib.sha256((content or f"bytes of {name}").encode()).hexdigest()
    return f"{sha256}  org.example:{name}:1.0\n"


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "starts").read_text().splitlines())


def silent(line: str) -> None:
    pass


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_pinned(jars: ModuleType, line: str) -> None:
    found = jars.read_line(line)
    assert found and all(jar.sha256 != "-" for jar in found)
    assert len({jar.file_name for jar in found}) == len(found)


def test_all_lines_are_fetched_in_one_start_of_java_and_then_left_alone(
    jars: ModuleType, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    (tmp_path / "one.txt").write_text("# a line\n" + row("a") + row("b"))
    (tmp_path / "two.txt").write_text(row("b") + row("c"))
    jars.fetch(["one", "two"], folder=tmp_path, environ=environ, say=silent)
    jars.fetch(["one", "two"], folder=tmp_path, environ=environ, say=silent)
    assert starts(tmp_path) == 1
    assert [path.name for path in jars.paths("two", tmp_path)] == ["b-1.0.jar", "c-1.0.jar"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a-1.0.jar", "b-1.0.jar"]


def test_a_jar_that_was_damaged_on_disk_is_fetched_again(
    jars: ModuleType, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    (tmp_path / "one.txt").write_text(row("a"))
    jars.fetch(["one"], folder=tmp_path, environ=environ, say=silent)
    (tmp_path / "one" / "a-1.0.jar").write_bytes(b"half")
    jars.fetch(["one"], folder=tmp_path, environ=environ, say=silent)
    assert (tmp_path / "one" / "a-1.0.jar").read_bytes() == b"bytes of a"


def test_other_bytes_than_the_pinned_ones_do_not_stay(
    jars: ModuleType, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    (tmp_path / "one.txt").write_text(row("a", "other bytes"))
    with pytest.raises(jars.JarsError, match="not the pinned bytes, so not kept: org.example:a:1.0") as told:
        jars.fetch(["one"], folder=tmp_path, environ=environ, say=silent)
    assert told.value.exit_code == 75
    assert not (tmp_path / "one").exists()


def test_a_mirror_that_java_does_not_trust_is_told(jars: ModuleType) -> None:
    said = """
        Server access error at url https://mirror.example/a.jar (javax.net.ssl.SSLHandshakeException: no valid path)
        ::          UNRESOLVED DEPENDENCIES
        :: org.example#a;1.0: not found: org.example#a;1.0"""
    assert jars._explain(said, ["org.example:a:1.0"]) == (
        "Java cannot ask https://mirror.example/a.jar: javax.net.ssl.SSLHandshakeException: no valid path; "
        "add the mirror's authority to Java's trust store"
    )


def test_a_jar_that_the_mirror_lacks_is_named(jars: ModuleType, tmp_path: Path, environ: Mapping[str, str]) -> None:
    (tmp_path / "one.txt").write_text(row("a") + row("absent"))
    with pytest.raises(jars.JarsError, match="^the package mirror has no org.example:absent:1.0$"):
        jars.fetch(["one"], folder=tmp_path, environ=environ, say=silent)


def test_pinning_fills_in_what_was_fetched(jars: ModuleType, tmp_path: Path, environ: Mapping[str, str]) -> None:
    (tmp_path / "one.txt").write_text("# a line\n-  org.example:a:1.0\n")
    jars.fetch(["one"], folder=tmp_path, environ=environ, say=silent)
    jars.pin("one", tmp_path)
    assert (tmp_path / "one.txt").read_text() == "# a line\n" + row("a")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("spark-4.2", "spark-4.2: no such line of jars; known are odd$"),
        ("odd", "odd.txt: want `sha256  org:artifact:version`, got 'org.example:a'"),
    ],
    ids=["an unknown line", "an unreadable row"],
)
def test_a_line_that_cannot_be_read_is_told(jars: ModuleType, tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "odd.txt").write_text("org.example:a\n")
    with pytest.raises(jars.JarsError, match=told):
        jars.read_line(line, tmp_path)


def test_no_java_is_told_with_what_to_install(jars: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(row("a"))
    with pytest.raises(jars.JarsError, match="Java is missing: install a Java 17 runtime"):
        jars.fetch(["one"], folder=tmp_path, environ={"PATH": str(tmp_path)}, say=silent)


def test_listing_before_fetching_is_told(jars: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(row("a"))
    with pytest.raises(jars.JarsError, match=r"one: a-1.0.jar not fetched yet; python jars/fetch.py one"):
        jars.paths("one", tmp_path)
