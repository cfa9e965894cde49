"""The function's source as it is shipped: `python -m local.staging FOLDER`.

FOLDER then holds main.py, requirements.txt, and the packages cloud_functions and contract: what
`gcloud functions deploy --source FOLDER` uploads and what the local function host runs. Standard library only.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cloud_functions", "contract")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "main.py", "requirements.txt")


def stage(folder: Path, *, root: Path = ROOT) -> Path:
    """Lay the function's source into `folder`, in place of what an earlier staging left there; returns it.

    Raises FileExistsError for a folder that holds anything else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "main.py").is_file():
        raise FileExistsError(f"{folder} holds something else than a staged function")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=LEFT_OUT)
    for name in ("main.py", "requirements.txt"):
        shutil.copyfile(root / "cloud_functions" / name, folder / name)
    return folder


def main(argv: Sequence[str]) -> int:
    """Stage into the one folder given."""
    if len(argv) != 1 or argv[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 0 if list(argv) in (["-h"], ["--help"]) else 78
    try:
        stage(Path(argv[0]))
    except FileExistsError as error:
        sys.stderr.write(f"staging: {error}\n")
        return 78
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
