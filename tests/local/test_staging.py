import subprocess
import sys
from pathlib import Path

import pytest

from local.staging import main, stage

# Editable installs are finders behind sys.path: without them the staged folder has to be enough.
ALONE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path = [path for path in sys.path if "editable" not in path and path not in ("", {root!r})]
sys.path.insert(0, {folder!r})
import main
print(main.__file__, main.Loader.__module__, sys.modules["contract.names"].__file__)
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"warehouse", "local", "streaming", "fastavro"}}))
"""


def test_the_staged_function_imports_from_its_own_folder_alone(tmp_path: Path) -> None:
    folder = stage(tmp_path / "loader")
    program = ALONE.format(folder=str(folder), root=str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    where, strangers = done.stdout.splitlines()
    assert where == f"{folder}/main.py cloud_functions.load {folder}/contract/names.py"
    assert strangers == "[]"


def test_the_staged_folder_holds_what_is_shipped_and_nothing_else(tmp_path: Path) -> None:
    folder = stage(tmp_path / "loader")
    assert sorted(path.name for path in folder.iterdir()) == [
        "cloud_functions",
        "contract",
        "main.py",
        "requirements.txt",
    ]
    assert not list(folder.rglob("__pycache__")) and not (folder / "cloud_functions" / "main.py").exists()
    assert list(folder.glob("contract/schemas/*.avsc"))


def test_staging_again_removes_what_the_source_no_longer_has(tmp_path: Path) -> None:
    folder = stage(tmp_path / "loader")
    (folder / "cloud_functions" / "gone.py").touch()
    stage(folder)
    assert not (folder / "cloud_functions" / "gone.py").exists()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert main([str(tmp_path)]) == 78
    assert "holds something else than a staged function" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()
