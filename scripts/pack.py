"""Pack what is shipped alone: the Spark job as one .zip, the function as the folder that Cloud Functions builds.

    python scripts/pack.py job FILE         contract and streaming; the same sources give the same bytes
    python scripts/pack.py function FOLDER  main.py, requirements.txt, cloud_functions and contract
    python scripts/pack.py wheel FOLDER     the sources that a wheel is built from

Nothing but Python itself is needed. The address of what was made is printed.
"""

import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = (".py", ".avsc", ".sql", ".js")
JOB = ("contract", "streaming")
FUNCTION = ("cloud_functions", "contract")
WHEEL = ("cloud_functions", "collector", "contract", "feeds", "local", "streaming", "warehouse")


def package_files(packages: Sequence[str]) -> Iterator[Path]:
    """The files of the packages that the wheel carries too, relative to the checkout, in a fixed order."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


def pack_job(target: Path) -> Path:
    """Write the .zip for --py-files. Stored and undated: neither zlib's version nor the day changes a byte."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
        for path in package_files(JOB):
            entry = zipfile.ZipInfo(path.as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (ROOT / path).read_bytes())
    return scratch.replace(target)


def stage_function(target: Path) -> Path:
    """Fill the folder for `gcloud functions deploy --source`; main.py lies at its top, where the builder looks."""
    top = {Path("cloud_functions/main.py"): "main.py", Path("cloud_functions/requirements.txt"): "requirements.txt"}
    return _fill(target, {**{path: str(path) for path in package_files(FUNCTION)}, **top})


def stage_wheel(target: Path) -> Path:
    """Fill a folder with the wheel's sources: built there, no file of an earlier build slips in."""
    top = [Path("setup.py"), Path("pyproject.toml"), Path("cli.py")]
    return _fill(target, {path: str(path) for path in [*package_files(WHEEL), *top]})


def _fill(target: Path, names: dict[Path, str]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    scratch.chmod(0o755)
    for source, name in names.items():
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, scratch / name)
    shutil.rmtree(target, ignore_errors=True)
    return scratch.rename(target)


ACTIONS = {"job": pack_job, "function": stage_function, "wheel": stage_wheel}


def main(argv: Sequence[str]) -> int:
    """Pack one thing."""
    if len(argv) != 2 or argv[0] not in ACTIONS:
        sys.stderr.write(f"{__doc__}")
        return 78
    sys.stdout.write(f"{ACTIONS[argv[0]](Path(argv[1]))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
