import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client as StorageClient

import cli
from contract.failures import ConfigError
from contract.names import BatchObject, Kind, record_name
from local import processes, stack, warehouse
from local.deliveries import DELIVERED, GIVEN_UP, count_outcomes, read_journal
from local.stack import STARTERS, Stack, StackSettings
from tests.cloud_functions.conftest import bad_rows, to_avro

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole cloud, in which every storage event comes three times and out of order."""
    folder = tmp_path_factory.mktemp("cloud")
    started = stack.start(StackSettings(state=folder, deliveries=3, shuffle_seed=1))
    yield started
    started.stop()


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def bucket(cloud: Stack) -> Any:
    options = {"api_endpoint": cloud.storage_url}
    client = StorageClient(project="local", credentials=AnonymousCredentials(), client_options=options)
    return client.bucket(cloud.bucket)


def put(cloud: Stack, query_id: str, contents: Sequence[bytes]) -> None:
    for batch_id, content in enumerate(contents):
        blob = bucket(cloud).blob(BatchObject(Kind.BAD, query_id, batch_id).name)
        blob.upload_from_string(content, if_generation_match=0)


def rows(cloud: Stack) -> int:
    client = warehouse.client(cloud.bigquery_url, cloud.project)
    return int(next(iter(client.query_and_wait(f"SELECT COUNT(*) FROM `{cloud.dataset}.bad_events`")))[0])


def function_log(cloud: Stack) -> list[dict[str, Any]]:
    text = (cloud.state.folder / "logs" / "function.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_events_that_come_three_times_and_shuffled_fill_the_table_once(cloud: Stack) -> None:
    before = rows(cloud)
    put(cloud, "thrice", [to_avro(bad_rows(count)) for count in range(1, 7)])
    wait_for(lambda: not cloud.undelivered())
    assert rows(cloud) - before == 21
    lines = [line for line in function_log(cloud) if "/thrice/" in str(line.get("object"))]
    assert sum(line["message"] == "loaded" for line in lines) == 6
    assert sum(line["message"] == "already loaded" for line in lines) == 12


def test_objects_that_are_no_batches_are_acknowledged(cloud: Stack) -> None:
    before = rows(cloud)
    names = [
        "sessions/v1/q/_SUCCESS",
        "sessions/v1/q/_temporary/0/part-00000.avro",
        record_name("q", 1),
        "parts/x.avro",
    ]
    for name in names:
        bucket(cloud).blob(name).upload_from_string("anything")
    wait_for(lambda: not cloud.undelivered())
    ignored = [line for line in function_log(cloud) if line.get("object") in names]
    assert len(ignored) == 3 * len(names) and {line["message"] for line in ignored} == {"event ignored"}
    assert rows(cloud) == before


def test_a_bad_object_leaves_one_record_and_the_good_ones_go_on(cloud: Stack) -> None:
    before = rows(cloud)
    put(cloud, "bad-one", [to_avro(bad_rows(1)), b"no avro", to_avro(bad_rows(2))])
    wait_for(lambda: not cloud.undelivered())
    assert rows(cloud) - before == 3
    given_up = [line for line in function_log(cloud) if line["message"] == "load given up"]
    assert {line["reason"] for line in given_up} == {"invalid"}
    records = list(bucket(cloud).client.list_blobs(cloud.bucket, prefix="dead-letter/"))
    assert len(records) == 1
    tries = [d.tries for d in read_journal(cloud.journal).values() if "/bad-one/" in d.name]
    assert tries == [3, 3, 3]


def test_a_function_killed_in_the_middle_of_a_load_leaves_the_rows_once(cloud: Stack) -> None:
    before = rows(cloud)
    slow = {"fault": "slow", "on": "jobs.insert", "times": 1, "seconds": 3}
    requests.post(f"{cloud.bigquery_url}/faults", json=slow, timeout=10).raise_for_status()
    put(cloud, "killed", [to_avro(bad_rows(5))])
    journal = Path(cloud.journal)
    wait_for(lambda: _has_job(cloud))
    children = [
        pid for pid in processes.group_members(cloud.process("function").pid) if pid != cloud.process("function").pid
    ]
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not cloud.undelivered())
    assert rows(cloud) - before == 5
    (delivery,) = [d for d in read_journal(journal).values() if "/killed/" in d.name]
    assert delivery.tries > 3


def _has_job(cloud: Stack) -> bool:
    client = warehouse.client(cloud.bigquery_url, cloud.project)
    return any("/killed/" in uri for job in client.list_jobs() for uri in getattr(job, "source_uris", None) or ())


@pytest.mark.parametrize("name", ["storage", "warehouse", "function", "bridge"])
def test_a_part_that_was_killed_comes_back_at_its_address_with_its_data(cloud: Stack, name: str) -> None:
    before, address = rows(cloud), cloud.state.parts[name].address
    cloud.process(name).kill()
    assert cli.main(["status", "--state", str(cloud.state.folder)]) == 1
    cloud.start_part(name)
    assert cloud.state.parts[name].address == address
    put(cloud, f"after-{name}", [to_avro(bad_rows(1))])
    wait_for(lambda: not cloud.undelivered())
    assert rows(cloud) - before == 1
    assert count_outcomes(read_journal(cloud.journal))[GIVEN_UP] == 0


def test_status_and_env_tell_the_addresses(cloud: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(cloud.state.folder)]
    assert cli.main(["status", "--json", *state]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["running"] and set(told["parts"]) == set(STARTERS) and told["events"][DELIVERED] > 0
    assert cli.main(["env", *state]) == 0
    exported = capsys.readouterr().out.splitlines()
    assert exported == [f"export {name}={value}" for name, value in cloud.environment().items()]
    assert {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"} < set(cloud.environment())


def test_a_second_up_says_where_the_first_one_runs(cloud: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    pids = [part.process.pid for part in cloud.state.parts.values()]
    assert cli.main(["up", "--state", str(cloud.state.folder)]) == 0
    told = capsys.readouterr().out
    assert "the local cloud runs already" in told and cloud.kafka_servers in told
    assert pids == [part.process.pid for part in cloud.state.parts.values()]
    with pytest.raises(ConfigError, match="runs already"):
        stack.start(StackSettings(state=cloud.state.folder))


def test_a_start_that_fails_half_way_leaves_nothing_running(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((processes.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--function-port: port {port} cannot be taken"):
            stack.start(StackSettings(state=tmp_path, function_port=port))
    assert not _commands_with(tmp_path)
    assert stack.running(tmp_path) is None


def test_an_up_that_is_killed_is_cleared_away_by_down(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "up", "--state", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "logs" / "warehouse.pid").exists())
    child.kill()
    child.wait()
    assert _commands_with(tmp_path)
    assert cli.main(["down", "--state", str(tmp_path), "--wipe"]) == 0
    assert not _commands_with(tmp_path) and not tmp_path.exists()


def test_an_up_that_is_told_to_end_takes_its_parts_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "up", "--state", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "logs" / "warehouse.pid").exists())
    child.terminate()
    assert child.wait(60) == 128 + signal.SIGTERM
    assert not _commands_with(tmp_path)


def _commands_with(folder: Path) -> list[str]:
    """The command lines of living processes that name `folder`."""
    listed = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and "pytest" not in line.split()[0]]


def test_down_without_a_cloud_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down", "--state", str(tmp_path / "never")]) == 0
    assert cli.main(["status", "--state", str(tmp_path / "never")]) == 1
    assert cli.main(["env", "--state", str(tmp_path / "never")]) == 78
    out, err = capsys.readouterr()
    assert "nothing runs" in out and "does not run; webevents up starts it" in out and "does not run" in err


def test_wiping_leaves_a_strangers_file_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    assert cli.main(["down", "--state", str(tmp_path), "--wipe"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
