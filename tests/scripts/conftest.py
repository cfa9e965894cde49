"""A copy of the checkout whose gcloud and bq only remember what they were asked."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scripts.shell import ROOT

GCLOUD = r"""#!/usr/bin/env python3
import os, pathlib, sys

words = sys.argv[1:]
here = pathlib.Path(os.environ["FAKE_CLOUD"])
with (here / "log").open("a") as log:
    print("gcloud", *words, file=log)
made = here / "made"
known = dict(line.split("\t") for line in made.read_text().splitlines()) if made.exists() else {}
verb = next((word for word in words if word in ("describe", "create", "deploy")), None)
if verb:
    place = words.index(verb)
    key = " ".join(words[:place] + [words[place + 1].split("@")[0]])
    if verb == "describe":
        print(known.get(key, ""))
        sys.exit(key not in known)
    labels = [word for word in words if "webevents-source=" in word]
    with made.open("a") as file:
        print(key, labels[0].rpartition("=")[2] if labels else "-", sep="\t", file=file)
if "add-iam-policy-binding" in words and (here / "fail-once").exists():
    (here / "fail-once").unlink()
    sys.exit("the service account does not exist")
if words[:3] == ["dataproc", "jobs", "list"]:
    print(os.environ.get("FAKE_RUNNING", ""))
if words[:2] == ["storage", "service-agent"]:
    print("agent@storage")
"""
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >>"$FAKE_CLOUD/log"\n'


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout, and the environment in which its scripts see the remembering tools."""

    root: Path
    cloud: Path
    env: dict[str, str]

    def log(self) -> list[str]:
        """The commands since the last look."""
        path = self.cloud / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, cloud, tools = tmp_path / "check out", tmp_path / "cloud", tmp_path / "bin"
    for name in ("scripts", "contract", "streaming", "cloud_functions"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "jars").mkdir()
    for path in (ROOT / "jars").glob("*.txt"):
        shutil.copy(path, root / "jars")
    (root / "jars/fetch.py").write_text("print('fetched')")
    cloud.mkdir()
    _tool(tools / "gcloud", GCLOUD.replace("/usr/bin/env python3", sys.executable))
    _tool(tools / "bq", RECORD)
    _tool(root / ".venv/bin/webevents", RECORD)
    _tool(root / ".venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    env = {"PATH": f"{tools}:/usr/bin:/bin", "FAKE_CLOUD": str(cloud), "WEBEVENTS_RETRY_SECONDS": "0"}
    return Checkout(root, cloud, env)


def _tool(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
