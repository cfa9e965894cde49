import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from cloudevents.http import CloudEvent, from_http

from local import processes
from local.deliveries import DELIVERED, GIVEN_UP, WAITING, read_journal, undelivered
from local.processes import Process
from local.storage import create_bucket

pytestmark = pytest.mark.stack


@dataclass
class Function:
    """A server in the function's place: `answer` decides the status of each event by its object's name."""

    answer: Callable[[str, int], int] = lambda name, tries: 204
    events: list[CloudEvent] = field(default_factory=list)
    url: str = ""

    @property
    def names(self) -> list[str]:
        return [str(event.data["name"]) for event in self.events]

    def take(self, headers: dict[str, str], body: bytes) -> int:
        self.events.append(from_http(headers, body))
        name = self.names[-1]
        return self.answer(name, self.names.count(name))


@pytest.fixture
def function() -> Iterator[Function]:
    found = Function()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(found.take(dict(self.headers), body))
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((processes.HOST, 0), Handler)
    found.url = f"http://{processes.HOST}:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()


@dataclass
class Room:
    """A bucket of its own, and a bridge over it."""

    storage: str
    bucket: str
    folder: Path
    function: Function
    process: Process | None = None

    @property
    def journal(self) -> Path:
        return self.folder / "deliveries.jsonl"

    def start(self, *flags: str) -> None:
        command = [sys.executable, "-m", "local.bridge", "--storage", self.storage, "--function", self.function.url]
        command += ["--bucket", self.bucket, "--journal", str(self.journal), *flags]
        self.process = processes.start("bridge", command, log=self.folder / "bridge.log", ready=self.journal.is_file)

    def put(self, name: str, content: bytes = b"rows") -> None:
        query = {"uploadType": "media", "name": name}
        headers = {"Content-Type": "application/avro"}
        url = f"{self.storage}/upload/storage/v1/b/{self.bucket}/o"
        requests.post(url, params=query, data=content, headers=headers, timeout=10).raise_for_status()

    def outcomes(self) -> Counter[str]:
        return Counter(delivery.outcome for delivery in read_journal(self.journal).values())


@pytest.fixture
def room(storage_url: str, tmp_path: Path, function: Function) -> Iterator[Room]:
    bucket = f"bridge-{time.monotonic_ns()}"
    create_bucket(storage_url, bucket)
    made = Room(storage_url, bucket, tmp_path, function)
    yield made
    if made.process:
        made.process.stop()


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_object_becomes_the_event_that_eventarc_sends(room: Room) -> None:
    room.start()
    room.put("sessions/v1/q/batch=000000000001.avro")
    wait_for(lambda: room.outcomes()[DELIVERED] == 1)
    (event,) = room.function.events
    assert event["type"] == "google.cloud.storage.object.v1.finalized"
    assert event["source"] == f"//storage.googleapis.com/projects/_/buckets/{room.bucket}"
    assert event["subject"] == "objects/sessions/v1/q/batch=000000000001.avro"
    assert event["bucket"] == room.bucket and event["id"].isdigit() and event["time"] == event.data["timeCreated"]
    assert event.data["name"] == "sessions/v1/q/batch=000000000001.avro" and event.data["bucket"] == room.bucket
    assert event.data["generation"].isdigit() and event.data["size"] == "4"
    assert event.data["contentType"] == "application/avro"
    assert {"metageneration", "md5Hash", "timeCreated", "updated", "storageClass"} <= set(event.data)


def test_every_object_is_announced_whatever_its_name(room: Room) -> None:
    names = {
        "sessions/v1/_SUCCESS",
        "parts/sessions/v1/q/part.avro",
        "batches/v1/q/batch=000000000001.json",
        "täglich/ü 1.avro",
        "100%.txt",
    }
    for name in names:
        room.put(name)
    room.start()
    wait_for(lambda: room.outcomes()[DELIVERED] == len(names))
    assert set(room.function.names) == names
    assert undelivered(room.storage, room.bucket, room.journal) == []


def test_an_event_is_posted_until_it_is_acknowledged_and_does_not_hold_up_others(room: Room) -> None:
    room.function.answer = lambda name, tries: 500 if name == "bad" and tries < 3 else 200
    room.put("bad")
    room.put("good")
    room.start()
    wait_for(lambda: room.outcomes()[DELIVERED] == 2)
    assert Counter(room.function.names) == {"bad": 3, "good": 1}
    assert len({event["id"] for event in room.function.events}) == 2


def test_an_event_that_is_never_acknowledged_is_given_up_and_written_down(room: Room) -> None:
    room.function.answer = lambda name, tries: 503
    room.put("bad")
    room.start("--give-up-s", "2")
    wait_for(lambda: room.outcomes()[GIVEN_UP] == 1)
    (delivery,) = read_journal(room.journal).values()
    assert (delivery.name, delivery.answer) == ("bad", "503")
    assert 1 <= delivery.tries == len(room.function.names) <= 3
    assert undelivered(room.storage, room.bucket, room.journal) == ["bad"]


def test_a_function_that_does_not_answer_is_tried_again(room: Room) -> None:
    url, room.function.url = room.function.url, "http://127.0.0.1:9"
    room.put("batch")
    room.start()
    wait_for(lambda: room.outcomes()[WAITING] == 1)
    assert room.process
    room.process.kill()
    room.function.url = url
    room.start()
    wait_for(lambda: room.outcomes()[DELIVERED] == 1)


def test_a_killed_bridge_forgets_nothing_and_repeats_nothing(room: Room) -> None:
    room.put("before")
    room.start()
    wait_for(lambda: room.outcomes()[DELIVERED] == 1)
    assert room.process
    room.process.kill()
    with room.journal.open("a") as journal:
        journal.write('{"name": "half a li')
    room.put("meanwhile")
    room.start()
    wait_for(lambda: room.outcomes()[DELIVERED] == 2)
    assert room.function.names == ["before", "meanwhile"]


def test_every_event_comes_three_times_and_shuffled_on_demand(room: Room) -> None:
    names = [f"object-{number}" for number in range(6)]
    for name in names:
        room.put(name)
    room.start("--deliveries", "3", "--shuffle-seed", "7")
    wait_for(lambda: room.outcomes()[DELIVERED] == 6)
    assert Counter(room.function.names) == dict.fromkeys(names, 3)
    places = {name: [place for place, each in enumerate(room.function.names) if each == name] for name in names}
    # In order, the four workers would keep the three deliveries of an object within seven places.
    assert any(max(place) - min(place) > 8 for place in places.values())


def test_a_misspelt_flag_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.bridge", "--storag", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78 and "--storag: unknown; did you mean --storage?" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_journal_is_readable_while_it_is_written(room: Room) -> None:
    room.start()
    room.put("batch")
    wait_for(lambda: room.outcomes()[DELIVERED] == 1)
    lines = [json.loads(line) for line in room.journal.read_text().splitlines() if line]
    assert lines[-1]["outcome"] == DELIVERED
