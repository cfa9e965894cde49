"""The collector as an ASGI application: any server can run it; ours gives it all but the ordinary POST of events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from collector import pixel
from collector.answers import AGAIN, IMAGE, TEXT, Answer, Headers, Stop, to_json
from collector.events import BODY_BYTES, EVENTS_PATH, HELD_BYTES, Events, Request
from collector.futures import tell
from collector.metrics import Metrics
from collector.robots import is_robot
from collector.script import SHORT, Script
from collector.sink import Sink
from collector.wire import Refused, parse_query

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIXEL_PATH = "/pixel.gif"


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Collector:
    """The application. `now_ms` is the wall clock; everything that it writes goes through `sink`."""

    def __init__(
        self, events: Events, sink: Sink, script: Script, metrics: Metrics, *, now_ms: Callable[[], int]
    ) -> None:
        self._events, self._sink, self._script, self._metrics = events, sink, script, metrics
        self._now_ms = now_ms
        self._gets: dict[str, Callable[[Scope, Mapping[bytes, bytes]], Awaitable[Answer]]] = {
            SHORT: self._get_script,
            script.path: self._get_script,
            PIXEL_PATH: self._get_pixel,
            "/healthz": self._get_health,
            "/readyz": self._get_readiness,
            "/metrics": self._get_metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the process's beginning and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        headers = dict(scope["headers"])
        try:
            if scope["path"] == EVENTS_PATH:
                status, extra, body = await self._at_events(scope, headers, receive)
            else:
                status, extra, body = await self._at_others(scope, headers)
        except Disconnected:
            return
        length = ((b"content-length", str(len(body)).encode()),) if status not in (204, 304) else ()
        await send({"type": "http.response.start", "status": status, "headers": [*extra, *length]})
        await send({"type": "http.response.body", "body": body})

    # POST /api/webeventspub

    async def _at_events(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(status: int, headers: Headers, body: bytes) -> None:
            tell(answered, (status, headers, body))

        request = Request(scope["method"], headers, _peer(scope))
        if request.method == "OPTIONS":
            self._events.preflight(request, reply)
            return await answered
        try:
            address = self._events.admit(request)
            body = await self._read(receive)
        except Stop as stop:
            self._events.stop(request, stop, reply)
        else:
            self._events.store(request, address, body, reply)
        return await answered

    async def _read(self, receive: Receive) -> bytes:
        """The whole body, held."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._read_on(bytearray(body), receive)
        elif message["type"] == "http.disconnect":
            raise Disconnected
        self._events.hold(len(body))
        return body

    async def _read_on(self, body: bytearray, receive: Receive) -> bytes:
        """The rest of it. What has come is counted meanwhile: many slow bodies must not fill the memory."""
        counted = len(body)
        self._events.held_bytes += counted
        try:
            while len(body) <= BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                self._events.held_bytes += len(part)
                counted += len(part)
                body += part
                if self._events.held_bytes > HELD_BYTES:
                    raise Stop(503, "body", "The collector is busy", AGAIN)
                if not message.get("more_body"):
                    break
        finally:
            self._events.held_bytes -= counted
        return bytes(body)

    # The routes that are read

    async def _at_others(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        path = scope["path"]
        read = self._gets.get(path)
        if read is None:
            answer = to_json(404, {"message": "There is nothing here"})
        elif scope["method"] in ("GET", "HEAD"):
            answer = await read(scope, headers)
        else:
            answer = Stop(405, "method", "Want GET", ((b"allow", b"GET, HEAD"),)).answer()
        self._metrics.responded("other" if read is None else path, answer[0])
        return answer

    async def _get_script(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        status, extra, body = self._script.answer(scope["path"], headers)
        return status, (*extra, (b"x-content-type-options", b"nosniff")), body

    async def _get_pixel(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        if pixel.is_objected(headers) or scope["method"] == "HEAD":
            return 200, IMAGE, pixel.GIF
        identity = pixel.to_identity(headers)
        robot = is_robot(headers.get(b"user-agent", b""))
        try:
            self._events.allow(Request(scope["method"], headers, _peer(scope)))
            record = parse_query(
                scope["query_string"], pixel.to_defaults(identity, headers), received_ms=self._now_ms(), robot=robot
            )
            stored: asyncio.Future[Stop | None] = asyncio.get_running_loop().create_future()
            self._events.begin([record], robot, partial(tell, stored))
            if (stop := await stored) is not None:
                return stop.answer()
        except Refused as refused:
            self._events.count_faults(refused.message)
            return to_json(400, {"message": refused.message})
        except Stop as stop:
            return stop.answer()
        secure = scope["scheme"] == "https" or headers.get(b"x-forwarded-proto") == b"https"
        return 200, (*IMAGE, *pixel.to_cookies(identity, secure=secure)), pixel.GIF

    async def _get_health(self, _: Scope, __: Mapping[bytes, bytes]) -> Answer:
        return to_json(200, {"status": "ok"})

    async def _get_readiness(self, _: Scope, __: Mapping[bytes, bytes]) -> Answer:
        ready = not (self._sink.spooling and self._sink.spool_full)
        way = "spool" if self._sink.spooling else "kafka"
        return to_json(200 if ready else 503, {"ready": ready, "storesAt": way})

    async def _get_metrics(self, _: Scope, __: Mapping[bytes, bytes]) -> Answer:
        return 200, TEXT, self._metrics.to_text()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._sink.open()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._sink.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _peer(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""
