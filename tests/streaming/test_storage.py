"""Stores: an object is created once."""

import errno
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.failures import ConfigError, TransientError
from streaming.storage import BucketStore, FolderStore, open_store


def test_a_file_is_created_once_and_its_first_content_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    staged = tmp_path / "stage" / "a b.avro"
    staged.parent.mkdir()
    staged.write_bytes(b"rows")
    assert store.create_from("sessions/v1/q/batch=1.avro", staged.as_uri()) is True
    assert store.create("sessions/v1/q/batch=1.avro", b"others") is False
    assert store.read("sessions/v1/q/batch=1.avro") == b"rows"
    assert store.names("sessions/") == ["sessions/v1/q/batch=1.avro"], "no half-written neighbour is left"


def test_a_staged_file_becomes_the_object_without_a_copy_and_outlives_its_stage(tmp_path: Path) -> None:
    store, staged = FolderStore(tmp_path / "target"), stage(tmp_path, b"rows")
    assert store.create_from("sessions/x", staged.as_uri()) is True
    assert (tmp_path / "target" / "sessions" / "x").samefile(staged)
    staged.unlink()
    assert store.read("sessions/x") == b"rows"


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EPERM], ids=["another file system", "another user's file"])
def test_a_staged_file_that_cannot_be_linked_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    store, staged, link = FolderStore(tmp_path / "target"), stage(tmp_path, b"rows"), os.link

    def refusing(source: str, target: Path) -> None:
        if Path(source) == staged:
            raise OSError(refusal, os.strerror(refusal))
        link(source, target)

    monkeypatch.setattr(os, "link", refusing)
    assert store.create_from("sessions/x", staged.as_uri()) is True
    assert store.create_from("sessions/x", stage(tmp_path, b"others").as_uri()) is False
    assert store.read("sessions/x") == b"rows"
    assert store.names("") == ["sessions/x"], "no half-written neighbour is left"


def test_another_fault_of_linking_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged, link = stage(tmp_path, b"rows"), os.link

    def full(source: str, target: Path) -> None:
        if Path(source) == staged:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link(source, target)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        FolderStore(tmp_path / "target").create_from("sessions/x", staged.as_uri())


def stage(folder: Path, content: bytes) -> Path:
    """A file as Spark leaves it for the store."""
    staged = folder / "staged.avro"
    staged.write_bytes(content)
    return staged


def test_of_many_that_create_one_file_at_once_one_succeeds(tmp_path: Path) -> None:
    store, won = FolderStore(tmp_path), []
    barrier = threading.Barrier(8)

    def race(content: bytes) -> None:
        barrier.wait()
        if store.create("x", content * 100_000):
            won.append(content)

    threads = [threading.Thread(target=race, args=(bytes([65 + i]),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("x") == won[0] * 100_000


def test_a_target_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write to the target folder"):
        FolderStore(tmp_path / "file" / "target").check()


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of Cloud Storage as answers with `status`."""

    status = 404
    status_of_object: int | None = None

    def do_GET(self) -> None:
        if "/o/" in self.path and self.status_of_object:
            self._answer(self.status_of_object)
        else:
            self._answer(200 if self.path.startswith("/storage/v1/b?") else self.status)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.status)

    def _answer(self, status: int) -> None:
        body = json.dumps({"items": [{"name": "webevents-objects"}], "error": {"message": "no"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    pytest.importorskip("google.cloud.storage")
    handler = type("Handler", (Bucket,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{listening.server_port}")
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield handler
        listening.shutdown()


def test_a_missing_bucket_is_told_with_the_nearest_one(server: type[Bucket]) -> None:
    with pytest.raises(ConfigError, match="there is no bucket gs://webevents-object; did you mean webevents-objects?"):
        BucketStore("webevents-object").check()


def test_a_bucket_without_rights_is_the_operators_to_mend(server: type[Bucket]) -> None:
    server.status = 403
    with pytest.raises(ConfigError, match="no access to gs://b"):
        BucketStore("b").check()


def test_an_object_that_is_there_is_no_failure(server: type[Bucket]) -> None:
    server.status = 412
    assert BucketStore("b").create("x", b"{}") is False


@pytest.mark.parametrize(
    ("there", "told"),
    [
        pytest.param(True, None, id="an account that may only create hears 403 of an object that is there"),
        pytest.param(False, "no access to gs://b/x", id="403 of an object that is not there is a missing right"),
    ],
)
def test_a_refusal_to_create(server: type[Bucket], there: bool, told: str | None) -> None:
    server.status = 403
    server.status_of_object = 200 if there else 404
    if told is None:
        assert BucketStore("b").create("x", b"{}") is False
        return
    with pytest.raises(ConfigError, match=told):
        BucketStore("b").create("x", b"{}")


def test_a_storage_that_does_not_answer_is_a_matter_of_time(
    server: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 503
    monkeypatch.setattr("streaming.storage.CHECK_WITHIN_S", 0.5)
    with pytest.raises(TransientError, match="Cloud Storage does not answer for gs://b"):
        BucketStore("b").check()
