import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from contract.failures import ConfigError
from local import function_host, processes
from local.processes import Process

pytestmark = pytest.mark.stack

FINALIZED = "google.cloud.storage.object.v1.finalized"


@dataclass
class Host:
    process: Process
    url: str
    log: Path

    def post(self, body: bytes, kind: str = FINALIZED) -> int:
        headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": kind, "ce-source": "//storage.googleapis.com/x",
                   "content-type": "application/json"}  # fmt: skip
        return requests.post(self.url, data=body, headers=headers, timeout=30).status_code

    def answers(self) -> bool:
        """Whether an event is acknowledged; a host that is not back yet refuses the connection."""
        try:
            return 200 <= self.post(b"{}") < 300
        except requests.ConnectionError:
            return False

    def children(self) -> list[int]:
        return [pid for pid in processes.group_members(self.process.pid) if pid != self.process.pid]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    nobody = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9"}
    process, url = function_host.start(folder, {**nobody, "WEBEVENTS_PROJECT": "local"})
    yield Host(process, url, folder / "logs" / "function.log")
    process.stop()


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


BATCH = {"bucket": "b", "name": "bad/v1/q/batch=000000000001.avro", "generation": "1"}
FOREIGN: dict[str, Any] = {
    "an empty object": {},
    "null": None,
    "a list": [BATCH],
    "text": "bad/v1/q/batch=000000000001.avro",
    "name null": {**BATCH, "name": None},
    "bucket missing": {"name": BATCH["name"], "generation": "1"},
    "generation missing": {"name": BATCH["name"], "bucket": "b"},
    "a folder's marker": {**BATCH, "name": "bad/v1/q/"},
    "Hadoop's success marker": {**BATCH, "name": "bad/v1/q/_SUCCESS"},
    "a file of Hadoop's committer": {**BATCH, "name": "bad/v1/q/_temporary/0/part-00000.avro"},
    "a batch record": {**BATCH, "name": "batches/v1/q/batch=000000000001.json"},
    "a part of a manifest": {**BATCH, "name": "parts/bad/v1/q/batch=000000000001/a/part-00000.avro"},
}


@pytest.mark.parametrize("resource", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_event_is_acknowledged(host: Host, resource: Any) -> None:
    assert 200 <= host.post(json.dumps(resource).encode()) < 300


def test_an_event_of_another_type_is_acknowledged(host: Host) -> None:
    assert 200 <= host.post(json.dumps(BATCH).encode(), "google.cloud.storage.object.v1.deleted") < 300


def test_its_log_lines_are_json_with_a_severity(host: Host) -> None:
    host.post(b"{}")
    lines = [json.loads(line) for line in host.log.read_text().splitlines() if line.startswith("{")]
    assert lines[-1]["severity"] == "INFO" and lines[-1]["message"] == "event ignored"


def test_a_killed_function_process_is_started_again_at_its_address(host: Host) -> None:
    killed = set(host.children())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: killed.isdisjoint(host.children()) and host.answers())
    assert host.process.alive()


def test_a_function_that_cannot_be_imported_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = function_host.stage(tmp_path / "source")
    (root / "main.py").write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.setattr(function_host, "stage", lambda folder: root)
    with pytest.raises(ConfigError, match=r"(?s)function ended at its start with code 1; .*no such luck"):
        function_host.start(tmp_path / "state", {})


def test_the_background_signature_is_served_too(tmp_path: Path) -> None:
    process, url = function_host.start(tmp_path, {}, target="update_user_cart")
    try:
        context = {"eventId": "1", "timestamp": "2026-01-02T03:04:05Z", "eventType": "google.storage.object.finalize"}
        resource = {
            "service": "storage.googleapis.com",
            "name": "projects/_/buckets/b/objects/a",
            "type": "storage#object",
        }
        body = {"context": {**context, "resource": resource}, "data": {"bucket": "b", "name": "a", "generation": "1"}}
        assert 200 <= requests.post(url, json=body, timeout=30).status_code < 300
        assert "the object is no batch" in (tmp_path / "logs" / "function.log").read_text()
    finally:
        process.stop()


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
    folder = function_host.stage(tmp_path / "loader")
    program = ALONE.format(folder=str(folder), root=str(processes.ROOT))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    where, strangers = done.stdout.splitlines()
    assert where == f"{folder}/main.py cloud_functions.load {folder}/contract/names.py"
    assert strangers == "[]"
