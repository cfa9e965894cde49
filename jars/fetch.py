"""Fetch the pinned jars of a line with the Ivy that PySpark carries: no Maven is needed.

    python jars/fetch.py spark-4.1 kafka-4.1     fetches what is missing, checks every sha256
    python jars/fetch.py --list spark-4.1        prints the paths for spark-submit --jars
    python jars/fetch.py --pin LINE              fills in the sha256 of rows that have `-` in its place

A line is a file <line>.txt beside this script: one `sha256  org:artifact:version` a row, # begins a comment.
The jars lie in <line>/. Exit codes: 0 all there, 75 a jar could not be fetched, 78 the operator must act.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

HERE = Path(__file__).resolve().parent
ROW = re.compile(r"(?P<sha256>[0-9a-f]{64}|-)\s+(?P<org>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)")

# Each jar is pinned by hash, so neither poms nor the registry's own checksums are asked for: a third of the requests.
IVY_SETTINGS = """<ivysettings>
  <property name="ivy.checksums" value=""/>
  <settings defaultResolver="central"/>
  <caches defaultCacheDir={cache}/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="false" useMavenMetadata="false"/></resolvers>
</ivysettings>
"""
IVY_MODULE = """<ivy-module version="2.0">
  <info organisation="webevents" module="jars"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
    <conflict manager="all"/>
  </dependencies>
</ivy-module>
"""


class JarsError(Exception):
    """One sentence for the user, and the process's exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Jar:
    """One row of a line's file. `sha256` is `-` where it is not pinned yet."""

    sha256: str
    org: str
    artifact: str
    version: str

    @property
    def file_name(self) -> str:
        """The jar's name in the line's folder."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        """org:artifact:version"""
        return f"{self.org}:{self.artifact}:{self.version}"


def read_line(line: str, folder: Path = HERE) -> list[Jar]:
    """The jars of a line, in the file's order. Raises JarsError for an unknown line or an unreadable row."""
    path = folder / f"{line}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.txt")))
        raise JarsError(f"{line}: no such line of jars; known are {known}", 78)
    rows = [row.split("#")[0].strip() for row in path.read_text(encoding="utf-8").splitlines()]
    return [_parse_row(path, row) for row in rows if row]


def _parse_row(path: Path, row: str) -> Jar:
    match = ROW.fullmatch(row)
    if match is None:
        raise JarsError(f"{path.name}: want `sha256  org:artifact:version`, got {row!r}", 78)
    return Jar(**match.groupdict())


def fetch(
    lines: Sequence[str], *, folder: Path = HERE, environ: Mapping[str, str], say: Callable[[str], object] = print
) -> None:
    """Bring the jars of all `lines` into their folders, in one start of Java; whole ones are left alone.

    Raises JarsError when a jar cannot be had or is not the one pinned: such a file does not stay.
    """
    wanted = {line: read_line(line, folder) for line in lines}
    missing = {line: [jar for jar in jars if not _is_whole(folder / line / jar.file_name, jar)]
               for line, jars in wanted.items()}  # fmt: skip
    absent = sorted({jar for jars in missing.values() for jar in jars}, key=lambda jar: jar.coordinates)
    if absent:
        say(f"jars: fetching {len(absent)} of {sum(map(len, wanted.values()))} for {', '.join(lines)}")
        _fetch_absent(absent, missing, folder, environ)
    for line, jars in wanted.items():
        say(f"jars: {line}: {len(jars)} jars, {_megabytes(folder / line, jars):.1f} MB, all as pinned")


def _fetch_absent(
    absent: Sequence[Jar], missing: Mapping[str, Sequence[Jar]], folder: Path, environ: Mapping[str, str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="webevents-jars-") as scratch:
        found = _retrieve(absent, Path(scratch), environ)
        wrong = [jar for jar in absent if jar.sha256 != "-" and _sha256(found[jar]) != jar.sha256]
        if wrong:
            names = ", ".join(jar.coordinates for jar in wrong)
            raise JarsError(f"not the pinned bytes, so not kept: {names}; is the package mirror sound?", 75)
        for line, jars in missing.items():
            (folder / line).mkdir(exist_ok=True)
            for jar in jars:
                _place(found[jar], folder / line / jar.file_name)


def _retrieve(jars: Sequence[Jar], scratch: Path, environ: Mapping[str, str]) -> dict[Jar, Path]:
    settings, module = scratch / "settings.xml", scratch / "ivy.xml"
    settings.write_text(IVY_SETTINGS.format(cache=quoteattr(str(scratch / "cache"))), encoding="utf-8")
    module.write_text(IVY_MODULE.format(dependencies="\n".join(map(_dependency, jars))), encoding="utf-8")
    pattern = f"{scratch}/out/[organisation]/[artifact]-[revision].[ext]"
    command = [_find_java(environ), "-jar", str(_find_ivy(environ)), "-settings", str(settings), "-ivy", str(module),
               "-confs", "default", "-retrieve", pattern]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = {jar: scratch / "out" / jar.org / jar.file_name for jar in jars}
    lacking = [jar.coordinates for jar in jars if not found[jar].is_file()]
    if lacking:
        raise JarsError(_explain(done.stdout + done.stderr, lacking), 75)
    return found


def _explain(log: str, lacking: Iterable[str]) -> str:
    """The sentence for a failed retrieval: Ivy retrieves nothing when one jar is missing, so ask its log which."""
    refused = re.search(r"Server access error at url (\S+) \((.+)\)", log)
    if refused is not None:
        trust = "; add the mirror's authority to Java's trust store" if "SSLHandshake" in refused[2] else ""
        return f"Java cannot ask {refused[1]}: {refused[2]}{trust}"
    absent = sorted(
        {match.replace("#", ":").replace(";", ":") for match in re.findall(r"not found: (\S+#\S+;\S+)", log)}
    )
    if absent:
        return f"the package mirror has no {', '.join(absent)}"
    last = [row.strip() for row in log.splitlines() if row.strip()][-3:]
    return f"could not fetch {', '.join(lacking)}; Ivy's last words: {' / '.join(last) or 'none'}"


def _dependency(jar: Jar) -> str:
    org, name, rev = quoteattr(jar.org), quoteattr(jar.artifact), quoteattr(jar.version)
    return f'    <dependency org={org} name={name} rev={rev} transitive="false"/>'


def _find_java(environ: Mapping[str, str]) -> str:
    home = environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java", path=environ.get("PATH"))
    if java is None:
        raise JarsError(
            "Java is missing: install a Java 17 runtime (Debian: apt-get install openjdk-17-jre-headless)", 78
        )
    return java


def _find_ivy(environ: Mapping[str, str]) -> Path:
    spec = importlib.util.find_spec("pyspark")
    homes = [environ["SPARK_HOME"]] if "SPARK_HOME" in environ else []
    homes += list(spec.submodule_search_locations or ()) if spec else []
    jars = [jar for home in homes for jar in sorted(Path(home, "jars").glob("ivy-*.jar"))]
    if not jars:
        raise JarsError("no Ivy found: PySpark carries it; pip install pyspark, or set SPARK_HOME", 78)
    return jars[0]


def _place(source: Path, target: Path) -> None:
    """Copy so that `target` is there whole or not at all, also when two fetches run at once."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, scratch)
    scratch.replace(target)


def _is_whole(path: Path, jar: Jar) -> bool:
    return path.is_file() and (jar.sha256 == "-" or _sha256(path) == jar.sha256)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _megabytes(folder: Path, jars: Iterable[Jar]) -> float:
    return sum((folder / jar.file_name).stat().st_size for jar in jars) / 1e6


def paths(line: str, folder: Path = HERE) -> list[Path]:
    """Where the line's jars lie. Raises JarsError when one is missing: fetch first."""
    found = [folder / line / jar.file_name for jar in read_line(line, folder)]
    absent = [path.name for path in found if not path.is_file()]
    if absent:
        raise JarsError(f"{line}: {', '.join(absent)} not fetched yet; python jars/fetch.py {line}", 78)
    return found


def pin(line: str, folder: Path = HERE) -> None:
    """Write the sha256 of the fetched jars into the rows that have none."""
    path = folder / f"{line}.txt"
    text = path.read_text(encoding="utf-8")
    for jar in read_line(line, folder):
        if jar.sha256 == "-":
            sha256 = _sha256(folder / line / jar.file_name)
            text = re.sub(rf"^-\s+{re.escape(jar.coordinates)}$", f"{sha256}  {jar.coordinates}", text, flags=re.M)
    path.write_text(text, encoding="utf-8")


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Fetch, list or pin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", metavar="LINE", nargs="+", help="spark-4.1, spark-3.5, kafka-4.1, ...")
    parser.add_argument("--list", action="store_true", help="print the paths, comma separated; fetches nothing")
    parser.add_argument("--pin", action="store_true", help="fetch, then write the sha256 of unpinned rows")
    chosen = parser.parse_args(argv)
    try:
        if chosen.list:
            print(",".join(str(path) for line in chosen.lines for path in paths(line)))
            return 0
        fetch(chosen.lines, environ=environ)
        if chosen.pin:
            for line in chosen.lines:
                pin(line)
    except JarsError as error:
        print(f"jars: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
