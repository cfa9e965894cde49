"""What the README prints is run as it stands."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import fastavro
import pytest

from contract.message import heartbeat, to_event_time, to_key, to_value
from contract.names import TOPIC
from feeds.produce import Sender
from local import broker, processes

ROOT = Path(__file__).parents[2]
PORT = 9092
FOLDER = Path("/tmp/webevents")

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def kafka(tmp_path):
    """A broker at localhost:9092, as the compose file starts one."""
    if processes.listens(PORT) or FOLDER.exists():
        pytest.skip(f"port {PORT} or {FOLDER} is in use")
    process, servers = broker.start(tmp_path, port=PORT)
    yield servers
    process.stop()
    shutil.rmtree(FOLDER, ignore_errors=True)


def command():
    """The shell block of the README that calls spark-submit."""
    (block,) = re.findall(r"```\n(source [^`]*spark-submit[^`]*)```", (ROOT / "README.md").read_text(encoding="utf-8"))
    return block


def test_the_spark_submit_command_of_the_readme(kafka):
    now_ms = time.time_ns() // 1_000_000
    sender = Sender(kafka, TOPIC)
    pageview = {"timestamp": to_event_time(now_ms - 7_200_000), "uiud": "u", "sessionId": "1", "pageUrl": "/a"}
    sender.send(to_key("u"), to_value(pageview))
    sender.send(None, heartbeat(now_ms))
    sender.finish()
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-euc", command()], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (published,) = (FOLDER / "published" / "sessions").rglob("batch=*.avro")
    with published.open("rb") as file:
        (row,) = fastavro.reader(file)
    assert (row["uiud"], row["Pages"], row["Pageviews"]) == ("u", ["/a"], 1)
