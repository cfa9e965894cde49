"""Load on a collector from threads of the test: what was answered with 200, and how long each answer took."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field

from tests.collector.parts import HOST, pageview


@dataclass
class Load:
    """Connections that send pageviews one after another while the block runs; a failure is followed by the next."""

    port: int
    connections: int = 8
    pause_s: float = 0.0
    accepted: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    cut: int = 0

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.connections)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        while not self._stopped.is_set():
            event = pageview()
            begun = time.monotonic()
            try:
                connection.request("POST", "/api/webeventspub", json.dumps(event), {"content-type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                self.cut += 1
                connection.close()
                self._stopped.wait(0.05)
                continue
            self.seconds.append(time.monotonic() - begun)
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            if answer.status == 200:
                assert json.loads(said)["id"] == event["eventId"]
                self.accepted.append(event["eventId"])
            self._stopped.wait(self.pause_s)
        connection.close()
