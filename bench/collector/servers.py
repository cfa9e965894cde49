"""Which server, which parser: CPU-microseconds a request for parse, 5 ms wait, answer; and of parsing alone.

python bench/collector/servers.py [--seconds 6]        needs granian, msgspec and wrk
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import timeit
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).resolve().parent
PORT = 8191
SERVERS = {
    "uvicorn": ["uvicorn", "--log-level", "warning", "--no-access-log", "--loop", "uvloop", "--http", "httptools"],
    "granian": [
        "granian",
        "--interface",
        "asgi",
        "--log-level",
        "warning",
        "--http",
        "1",
        "--no-ws",
        "--loop",
        "uvloop",
    ],
}
EVENT = {
    "timestamp": 1790000000000, "lastPageVisited": "https://example.com/a", "pageUrl": "https://example.com/page",
    "pageTitle": "A page", "eventType": "Pageview", "landingPage": 0, "referrer": "direct", "sentAt": 1790000000000,
    "uiud": "3b241101-e2bb-4255-8caf-4136c566a962", "sessionId": "12345", "seq": 3,
}  # fmt: skip
Message = MutableMapping[str, Any]
WAITING: list[asyncio.Future[None]] = []


def release() -> None:
    for future in WAITING:
        if not future.done():
            future.set_result(None)
    WAITING.clear()


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """What any collector does, and nothing more."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    loop = asyncio.get_running_loop()
    if not WAITING:
        loop.call_later(0.005, release)
    WAITING.append(loop.create_future())
    given = orjson.loads(body)
    await WAITING[-1]
    answer = orjson.dumps({"id": given["eventId"]})
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


def measure(command: list[str], seconds: int) -> str:
    from run import cpu_s

    words = [str(Path(sys.executable).parent / command[0]), *command[1:], "--port", str(PORT), "servers:app"]
    process = subprocess.Popen(words, cwd=HERE, start_new_session=True)
    try:
        time.sleep(3)
        begun = cpu_s(process.pid)
        wrk = ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", HERE / "post.lua", f"http://127.0.0.1:{PORT}/"]
        said = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
        count = int(said.partition(" requests in")[0].rpartition("\n")[2])
        return f"{(cpu_s(process.pid) - begun) / count * 1e6:.0f} us CPU a request, {count / seconds:,.0f} a second"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def parsers() -> dict[str, Callable[[], object]]:
    import msgspec

    body = json.dumps(EVENT).encode()
    decoder = msgspec.json.Decoder()
    return {
        "orjson": lambda: orjson.loads(body), "msgspec": lambda: decoder.decode(body), "json": lambda: json.loads(body),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6)
    seconds = parser.parse_args().seconds
    for _ in range(2):
        for name, command in SERVERS.items():
            print(f"{name}: {measure(command, seconds)}", flush=True)
    for name, parse in parsers().items():
        print(f"{name}: {min(timeit.repeat(parse, number=50_000, repeat=3)) / 50_000 * 1e6:.1f} us an event")


if __name__ == "__main__":
    main()
