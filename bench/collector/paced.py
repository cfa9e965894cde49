"""An open-loop generator: requests begin when the clock says so, whether or not earlier ones were answered.

python bench/collector/paced.py PORT RATE SECONDS      prints p50 and p99 in ms from the due time, and the errors
"""

import asyncio
import gc
import json
import random
import sys
import time
from collections import deque

CONNECTIONS = 64
HEAD = b"POST /api/webeventspub HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = (
    b'{"timestamp":%d,"lastPageVisited":"https://example.com/a","pageUrl":"https://example.com/page?utm_source=x",'
    b'"pageTitle":"A page with a title","eventType":"Pageview","landingPage":0,"referrer":"direct",'
    b'"uiud":"3b241101-e2bb-4255-8caf-%012x","sessionId":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6",'
    b'"eventId":"%032x","sentAt":%d,"seq":3}'
)
TICK_S = 0.0005


class Client(asyncio.Protocol):
    """A connection with one request at a time; what is due waits in `due` for a free one."""

    def __init__(self, free: deque["Client"], due: deque[float], took: list[float], errors: list[int]) -> None:
        self.free, self.due, self.took, self.errors = free, due, took, errors
        self.begun, self.said = 0.0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.free.append(self)

    def send(self, at: float) -> None:
        self.begun = at
        now = time.time_ns() // 1_000_000
        body = BODY % (now, now % 5_000, random.getrandbits(128), now)
        self.transport.write(HEAD % len(body) + body)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.said += data
        if not self.begun or b"}" not in self.said:
            return
        self.took.append(time.monotonic() - self.begun)
        self.errors[0] += b" 200 " not in self.said[:20]
        self.begun, self.said = 0.0, b""
        if self.due:
            self.send(self.due.popleft())
        else:
            self.free.append(self)


async def run(port: int, rate: float, seconds: float) -> None:
    free: deque[Client] = deque()
    due: deque[float] = deque()
    took: list[float] = []
    errors = [0]
    gc.disable()
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(free, due, took, errors), "127.0.0.1", port)
    begun = time.monotonic()
    count = int(rate * seconds)
    number = 0
    while number < count:
        now = time.monotonic()
        while number < count and (at := begun + number / rate) <= now:
            number += 1
            if free:
                free.popleft().send(at)
            else:
                due.append(at)
        await asyncio.sleep(TICK_S)
    deadline = time.monotonic() + 10
    while len(took) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    took.sort()
    result = {"p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[int(len(took) * 0.99)] * 1e3}
    print(json.dumps({**result, "errors": errors[0] + count - len(took)}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
