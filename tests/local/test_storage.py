from pathlib import Path

import pytest
from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage import Client

from contract.failures import ConfigError
from local import storage

pytestmark = pytest.mark.stack


def test_an_object_is_created_once(emulated: str) -> None:
    blob = Client(project="local").bucket("webevents").blob("once.txt")
    blob.upload_from_string("first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string("second", if_generation_match=0)
    assert blob.download_as_text() == "first"


def test_objects_outlive_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, url = storage.start(tmp_path, bucket="kept")
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        Client(project="local").bucket("kept").blob("a/b.txt").upload_from_string("kept")
        before = Client(project="local").bucket("kept").get_blob("a/b.txt").generation
        process.kill()
        process, url = storage.start(tmp_path, bucket="kept")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        after = Client(project="local").bucket("kept").get_blob("a/b.txt")
        assert (after.generation, after.download_as_text()) == (before, "kept")
    finally:
        process.stop()


def test_a_bucket_name_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="refuses the bucket 'No Such'"):
        storage.start(tmp_path, bucket="No Such")
