"""Real parts for the collector's tests: a collector process, a topic of its own, a site with the tag."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.shop import serve_pages

HOST = "127.0.0.1"
DEADLINE_S = 30.0


def wait_for(condition: Callable[[], Any], what: str, *, within_s: float = DEADLINE_S) -> Any:
    """The first true value of `condition`; fails, naming `what`, when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s: {what}")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def new_topic(servers: str) -> str:
    """A topic of one's own, with three partitions."""
    from local.broker import create_topics

    topic = f"webevent-{uuid.uuid4().hex[:8]}"
    create_topics(servers, [topic])
    return topic


def read_topic(servers: str, topic: str) -> list[dict[str, Any]]:
    """All events of the topic in the order of its partitions, heartbeats left out; `partition` and `key` added."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "log_level": 3})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    events, missing = [], sum(ends.values())
    while missing > 0:
        for message in consumer.consume(min(missing, 1_000), timeout=1.0):
            assert message.error() is None
            missing -= 1
            event = json.loads(message.value())
            if event["eventType"] != "Heartbeat":
                events.append({**event, "partition": message.partition(), "key": message.key().decode()})
    consumer.close()
    return events


STARTED: "list[subprocess.Popen[bytes]]" = []
"""Collectors that were started; a test that fails leaves its own running."""


class CollectorProcess:
    """`webevents collect` in a process of its own, which can be killed and started again on the same spool."""

    def __init__(self, servers: str, folder: Path, *flags: str, topic: str = "webevent", port: int = 0) -> None:
        self.port = port or free_port()
        self.topic = topic
        self.url = f"http://{HOST}:{self.port}"
        self.spool = folder / "spool"
        self.log = folder / "collector.log"
        self._command = [
            sys.executable, "-m", "collector", "--kafka-servers", servers, "--topic", topic, "--port", str(self.port),
            "--spool", str(self.spool), "--sites", "*", "--rate", "1000000", *flags,
        ]  # fmt: skip
        self.process = self._spawn()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._command, stderr=log, stdout=log, cwd=Path(__file__).parents[2])
        wait_for(lambda: process.poll() is not None or self.answers(), f"the collector answers; {self.log}")
        STARTED.append(process)
        assert process.poll() is None, self.log.read_text()
        return process

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            return bool(self.get("/healthz"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """The answer to a GET, parsed where it is JSON."""
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            body = answer.read()
        return json.loads(body) if body[:1] == b"{" else body

    def metric(self, name: str) -> float:
        """One number of /metrics, by the whole name with its labels."""
        lines = self.get("/metrics").decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"webevents_collector_{name} ")).split()[-1])

    def drained(self) -> bool:
        """Whether nothing waits on the disk."""
        return bool(self.metric("spooling") == 0)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again after a kill."""
        self.process = self._spawn()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def pageview(**fields: object) -> dict[str, Any]:
    """A pageview as the tag sends it."""
    now_ms = time.time_ns() // 1_000_000
    return {
        "timestamp": now_ms, "lastPageVisited": "", "pageUrl": "https://example.com/", "pageTitle": "Home",
        "eventType": "Pageview", "landingPage": 1, "referrer": "direct", "uiud": str(uuid.uuid4()),
        "sessionId": "s-1", "eventId": str(uuid.uuid4()), "seq": 1, **fields,
    }  # fmt: skip


PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>{head}</head>
<body><h1>{title}</h1>{links}</body></html>"""


@contextmanager
def serve_site(collector_url: str, *, tag: str = "", csp: str = "") -> Iterator[str]:
    """A site whose every path is a page with the tag, titled by its path; yields its origin."""
    script = tag or f'<script async src="{collector_url}/tag.js"></script>'
    links = " ".join(f'<a id="{name}" href="/{name}">{name}</a>' for name in ("one", "two", "three"))

    def to_html(path: str) -> str | None:
        return None if path == "/favicon.ico" else PAGE.format(title=f"Page {path}", head=script, links=links)

    with serve_pages(to_html, {"content-security-policy": csp} if csp else None) as origin:
        yield origin


def chromium_path() -> str:
    """Debian's Chromium, or the one that WEBEVENTS_CHROMIUM names; without any the test is skipped, in CI it fails."""
    import shutil

    path = os.environ.get("WEBEVENTS_CHROMIUM") or shutil.which("chromium")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no chromium: apt install chromium")
    return str(path)
