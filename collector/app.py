"""The collector as an ASGI application: routes, limits, and the order in which a request is judged."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import orjson

from collector import pixel
from collector.fields import READERS, Faults
from collector.limits import Buckets, to_address
from collector.metrics import Metrics
from collector.origins import PREFLIGHT, Headers, Origins
from collector.robots import is_robot
from collector.script import SHORT, Script
from collector.sink import Sink
from collector.spool import SpoolFull
from collector.wire import Record, Refused, parse_body, parse_query
from contract.failures import TransientError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, Headers, bytes]

log = logging.getLogger(__name__)

ANSWER = "webevents.answer"
"""An extension of ASGI: collector.connection takes a whole answer at once. Any other server gets two messages."""

EVENTS_PATH = "/api/webeventspub"
PIXEL_PATH = "/pixel.gif"
BODY_BYTES = 512 * 1024
HELD_BYTES = 64 * 1024 * 1024
"""Bodies in memory, of all requests together: above it the answer is 503, not a process that is killed."""

TYPES = frozenset((b"application/json", b"text/plain", b""))
RETRY_S = 10
SAFE: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
JSON: Headers = [(b"content-type", b"application/json"), *SAFE]
TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8"), *SAFE]
IMAGE: Headers = [(b"content-type", b"image/gif"), *SAFE]
AGAIN: Headers = [(b"retry-after", str(RETRY_S).encode())]


class Stop(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, field: str, text: str, headers: Headers | None = None) -> None:
        super().__init__(text)
        self.status, self.message, self.headers = status, {field: text}, headers or []


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Collector:
    """The application. `now_ms` is the wall clock; everything that it writes goes through `sink`."""

    def __init__(
        self, sink: Sink, script: Script, origins: Origins, buckets: Buckets, metrics: Metrics,
        *, trusted_hops: int, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._sink, self._script, self._origins, self._buckets = sink, script, origins, buckets
        self._metrics, self._trusted_hops, self._now_ms = metrics, trusted_hops, now_ms
        self._held_bytes = 0
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
        path = scope["path"]
        try:
            if path == EVENTS_PATH:
                status, extra, body = await self._at_events(scope, headers, receive)
            elif path in self._gets:
                status, extra, body = await self._at_get(scope, headers)
            else:
                status, extra, body = to_json(404, {"message": "There is nothing here"})
        except Disconnected:
            return
        self._metrics.responded(path if path == EVENTS_PATH or path in self._gets else "other", status)
        if status not in (204, 304):
            extra = [*extra, (b"content-length", str(len(body)).encode())]
        answer = scope.get("extensions", {}).get(ANSWER)
        if answer is not None:
            answer(status, extra, body)
            return
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})

    # POST /api/webeventspub

    async def _at_events(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        origin, host = headers.get(b"origin", b""), headers.get(b"host", b"")
        shared = self._origins.headers(origin, host)
        try:
            self._check_origin(origin, host)
            if scope["method"] == "OPTIONS":
                return 204, [*shared, *PREFLIGHT], b""
            if scope["method"] != "POST":
                raise Stop(405, "method", "Want POST", [(b"allow", b"POST, OPTIONS")])
            status, extra, body = await self._take(scope, headers, receive)
        except Stop as stop:
            status, extra, body = to_json(stop.status, {"message": stop.message})
            extra = [*extra, *stop.headers]
        return status, [*extra, *shared], body

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        if not self._origins.allows(origin, host):
            self._metrics.refused("origin")
            raise Stop(403, "origin", "This site is not on the collector's list")

    async def _take(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() not in TYPES:
            raise Stop(415, "content-type", "Want application/json or text/plain")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Stop(415, "content-encoding", "Want a body that is not compressed")
        address = self._allow(scope, headers)
        try:
            length = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise Stop(400, "content-length", "Want a number") from None
        if length > BODY_BYTES:
            raise Stop(413, "body", f"Larger than {BODY_BYTES} bytes")
        body = await self._read(receive)
        try:
            return await self._answer(headers, address, body)
        finally:
            self._held_bytes -= len(body)

    def _allow(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        address = to_address(peer, headers.get(b"x-forwarded-for", b"").decode("latin-1"), self._trusted_hops)
        if not self._buckets.take(address, 1, time.monotonic()):
            self._metrics.refused("rate")
            raise Stop(429, "rate", "Too many events from this address", AGAIN)
        return address

    async def _read(self, receive: Receive) -> bytes:
        """The whole body; counted in `_held_bytes` until the caller has done with it."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._read_on(bytearray(body), receive)
        elif message["type"] == "http.disconnect":
            raise Disconnected
        if len(body) > BODY_BYTES:
            raise Stop(413, "body", f"Larger than {BODY_BYTES} bytes")
        if self._held_bytes + len(body) > HELD_BYTES:
            raise Stop(503, "body", "The collector is busy", AGAIN)
        self._held_bytes += len(body)
        return body

    async def _read_on(self, body: bytearray, receive: Receive) -> bytes:
        begun = len(body)
        self._held_bytes += begun
        try:
            while len(body) <= BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                self._held_bytes += len(part)
                begun += len(part)
                body += part
                if self._held_bytes > HELD_BYTES:
                    raise Stop(503, "body", "The collector is busy", AGAIN)
                if not message.get("more_body"):
                    break
        finally:
            self._held_bytes -= begun
        return bytes(body)

    async def _answer(self, headers: Mapping[bytes, bytes], address: str, body: bytes) -> Answer:
        received_ms = self._now_ms()
        robot = is_robot(headers.get(b"user-agent", b"").decode("latin-1"))
        try:
            posted = parse_body(body, received_ms=received_ms, robot=robot)
        except Refused as refused:
            self._count_faults(refused.message)
            return to_json(400, {"message": refused.message})
        records = [record for record in posted.records if record is not None]
        if len(records) > 1:
            self._buckets.take(address, len(records) - 1, time.monotonic())
        await self._store(records, robot=robot)
        ids = [record.event_id if record is not None else None for record in posted.records]
        answer: dict[str, Any] = {"id": ids[0] if posted.single else ids, "receivedAt": received_ms}
        if posted.faults:
            answer["message"] = {str(index): faults for index, faults in posted.faults.items()}
            for faults in posted.faults.values():
                self._count_faults(faults)
        return to_json(200, answer)

    async def _store(self, records: Sequence[Record], *, robot: bool) -> None:
        begun = time.monotonic()
        try:
            await self._sink.store(records)
        except SpoolFull:
            raise Stop(507, "storage", "The collector's disk is full", AGAIN) from None
        except TransientError:
            raise Stop(503, "storage", "The collector cannot store events now", AGAIN) from None
        self._metrics.took(time.monotonic() - begun)
        if robot:
            self._metrics.robots(len(records))

    def _count_faults(self, faults: Faults) -> None:
        for field in faults:
            self._metrics.refused(field if field in READERS else "body")

    # The routes that are read

    async def _at_get(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            status, extra, body = to_json(405, {"message": {"method": "Want GET"}})
            return status, [*extra, (b"allow", b"GET, HEAD")], body
        return await self._gets[scope["path"]](scope, headers)

    async def _get_script(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        status, extra, body = self._script.answer(scope["path"], headers)
        return status, [*extra, (b"x-content-type-options", b"nosniff")], body

    async def _get_pixel(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        if pixel.is_objected(headers) or scope["method"] == "HEAD":
            return 200, IMAGE, pixel.GIF
        identity = pixel.to_identity(headers)
        robot = is_robot(headers.get(b"user-agent", b"").decode("latin-1"))
        try:
            self._allow(scope, headers)
            record = parse_query(
                scope["query_string"], pixel.to_defaults(identity, headers), received_ms=self._now_ms(), robot=robot
            )
            await self._store([record], robot=robot)
        except Refused as refused:
            self._count_faults(refused.message)
            return to_json(400, {"message": refused.message})
        except Stop as stop:
            status, extra, body = to_json(stop.status, {"message": stop.message})
            return status, [*extra, *stop.headers], body
        secure = scope["scheme"] == "https" or headers.get(b"x-forwarded-proto") == b"https"
        return 200, [*IMAGE, *pixel.to_cookies(identity, secure=secure)], pixel.GIF

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


def to_json(status: int, answer: object) -> Answer:
    """An answer in JSON."""
    return status, JSON, orjson.dumps(answer)
