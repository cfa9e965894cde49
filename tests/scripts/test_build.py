"""What is shipped alone: complete, the same as in the wheel, and the same bytes every time."""

import ast
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import pack
from tests.scripts.conftest import Checkout
from tests.scripts.shell import ROOT, run


@pytest.fixture(scope="module")
def job_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack.pack_job(tmp_path_factory.mktemp("job") / "job.zip")


def test_the_same_sources_give_the_same_bytes(job_zip: Path, tmp_path: Path) -> None:
    assert pack.pack_job(tmp_path / "again.zip").read_bytes() == job_zip.read_bytes()


def test_the_job_imports_its_schemas_and_settings_from_the_zip_alone(job_zip: Path, tmp_path: Path) -> None:
    code = "import contract.schemas, streaming.settings; print(contract.schemas.schema('session')['name'])"
    done = run([sys.executable, "-S", "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(job_zip)})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_zip_holds_what_the_wheel_holds(job_zip: Path, checkout: Checkout) -> None:
    for name in ("setup.py", "pyproject.toml", "cli.py", "feeds", "local", "warehouse"):
        (checkout.root / name).symlink_to(ROOT / name)
    done = run([str(checkout.root / "scripts/build.sh"), "wheel"], cwd=checkout.root, env=checkout.env)
    assert done.returncode == 0, done.stderr
    wheel = zipfile.ZipFile(checkout.root / done.stdout.splitlines()[-1])
    job = zipfile.ZipFile(job_zip)
    in_wheel = {name for name in wheel.namelist() if name.startswith(("contract/", "streaming/"))}
    assert in_wheel == set(job.namelist())
    assert [name for name in sorted(in_wheel) if wheel.read(name) != job.read(name)] == []


def test_the_function_folder_has_all_that_its_main_imports(tmp_path: Path) -> None:
    folder = pack.stage_function(tmp_path / "loader")
    code = "import main; main.on_object_finalized; main.update_user_cart; import contract; print(contract.__file__)"
    done = run([sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(folder), "PYTHONSAFEPATH": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(folder))


def test_the_wheel_is_built_from_all_packages_that_setup_py_names() -> None:
    names = {
        node.value for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.Constant)
    }
    assert [package for package in pack.WHEEL if package not in names] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(pack.WHEEL)
