"""POST /api/webeventspub: how a request is judged, and what it is told once its events are safe."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from collector.answers import AGAIN, JSON, Headers, Stop, to_json
from collector.fields import READERS, Faults
from collector.limits import Buckets, to_address
from collector.metrics import Metrics
from collector.origins import PREFLIGHT, Origins
from collector.robots import is_robot
from collector.sink import Sink
from collector.spool import SpoolFull
from collector.wire import Posted, Record, Refused, parse_body

EVENTS_PATH = "/api/webeventspub"
BODY_BYTES = 512 * 1024
HELD_BYTES = 64 * 1024 * 1024
"""Bodies in memory, of all requests together: above it the answer is 503, not a process that is killed."""

TYPES = frozenset((b"application/json", b"text/plain", b""))
SITES = 256

Reply = Callable[[int, Headers, bytes], None]


@dataclass(slots=True)
class Request:
    """A request's head."""

    method: str
    headers: Mapping[bytes, bytes]
    peer: str


class Events:
    """The route of the events. `now_ms` is the wall clock; everything that it writes goes through `sink`.

    Nothing here waits: an answer is given to the request's `reply`, at once or when its events are safe.
    """

    def __init__(
        self, sink: Sink, origins: Origins, buckets: Buckets, metrics: Metrics,
        *, trusted_hops: int, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._sink, self._buckets, self._metrics = sink, buckets, metrics
        self._trusted_hops, self._now_ms = trusted_hops, now_ms
        self._allows = lru_cache(SITES)(origins.allows)
        self._shared = lru_cache(SITES)(lambda origin, host: tuple(origins.headers(origin, host)))
        self._accepted = lru_cache(SITES)(lambda origin, host: (*JSON, *self._shared(origin, host)))
        self.held_bytes = 0

    def take(self, request: Request, body: bytes, reply: Reply) -> None:
        """Judge a whole request."""
        try:
            address = self.admit(request)
            self.hold(len(body))
        except Stop as stop:
            self.stop(request, stop, reply)
            return
        self.store(request, address, body, reply)

    def preflight(self, request: Request, reply: Reply) -> None:
        """Judge an OPTIONS."""
        try:
            self._check_origin(request)
        except Stop as stop:
            self.stop(request, stop, reply)
            return
        self._reply(reply, 204, (*self._shared(*_site(request)), *PREFLIGHT), b"")

    def stop(self, request: Request, stop: Stop, reply: Reply) -> None:
        """Answer a request that has come to its end early."""
        status, headers, body = stop.answer()
        self._reply(reply, status, (*headers, *self._shared(*_site(request))), body)

    def admit(self, request: Request) -> str:
        """What its head says: the sender's address, or Stop."""
        self._check_origin(request)
        headers = request.headers
        if request.method != "POST":
            raise Stop(405, "method", "Want POST", ((b"allow", b"POST, OPTIONS"),))
        kind = headers.get(b"content-type", b"")
        if kind not in TYPES and kind.partition(b";")[0].strip().lower() not in TYPES:
            raise Stop(415, "content-type", "Want application/json or text/plain")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Stop(415, "content-encoding", "Want a body that is not compressed")
        address = self.allow(request)
        try:
            length = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise Stop(400, "content-length", "Want a number") from None
        if length > BODY_BYTES:
            raise Stop(413, "body", f"Larger than {BODY_BYTES} bytes")
        return address

    def _check_origin(self, request: Request) -> None:
        if not self._allows(*_site(request)):
            self._metrics.refused("origin")
            raise Stop(403, "origin", "This site is not on the collector's list")

    def allow(self, request: Request) -> str:
        """The sender's address, one event taken off what it may send; or Stop."""
        forwarded = request.headers.get(b"x-forwarded-for", b"").decode("latin-1") if self._trusted_hops else ""
        address = to_address(request.peer, forwarded, self._trusted_hops)
        if not self._buckets.take(address, 1, time.monotonic()):
            self._metrics.refused("rate")
            raise Stop(429, "rate", "Too many events from this address", AGAIN)
        return address

    def hold(self, size: int) -> None:
        """Count the bytes of a body that is now in memory; or Stop. `store` lets go of them."""
        if size > BODY_BYTES:
            raise Stop(413, "body", f"Larger than {BODY_BYTES} bytes")
        if self.held_bytes + size > HELD_BYTES:
            raise Stop(503, "body", "The collector is busy", AGAIN)
        self.held_bytes += size

    def store(self, request: Request, address: str, body: bytes, reply: Reply) -> None:
        """Parse an admitted request's body, whose bytes are held, and answer when its events are safe."""
        waits = False
        try:
            waits = self._begin(request, address, body, reply)
        finally:
            if not waits:
                self.held_bytes -= len(body)

    def _begin(self, request: Request, address: str, body: bytes, reply: Reply) -> bool:
        received_ms = self._now_ms()
        robot = is_robot(request.headers.get(b"user-agent", b""))
        try:
            posted = parse_body(body, received_ms=received_ms, robot=robot)
        except Refused as refused:
            self.count_faults(refused.message)
            status, headers, said = to_json(400, {"message": refused.message})
            self._reply(reply, status, (*headers, *self._shared(*_site(request))), said)
            return False
        records = [record for record in posted.records if record is not None]
        if len(records) > 1:
            self._buckets.take(address, len(records) - 1, time.monotonic())
        size = len(body)

        def done(stop: Stop | None) -> None:
            self.held_bytes -= size
            if stop is None:
                said = self._accept(posted, received_ms)
                self._reply(reply, 200, self._accepted(*_site(request)), said)
            else:
                self.stop(request, stop, reply)

        self.begin(records, robot, done)
        return True

    def begin(self, records: Sequence[Record], robot: bool, done: Callable[[Stop | None], None]) -> None:
        """Store records, and say to `done` that they are safe, or what to answer."""
        begun = time.monotonic()

        def stored(fault: Exception | None) -> None:
            if fault is not None:
                done(to_stop(fault))
                return
            self._metrics.took(time.monotonic() - begun)
            if robot:
                self._metrics.robots(len(records))
            done(None)

        self._sink.begin(records, stored)

    def _accept(self, posted: Posted, received_ms: int) -> bytes:
        ids = [record.event_id if record is not None else None for record in posted.records]
        answer: dict[str, Any] = {"id": ids[0] if posted.single else ids, "receivedAt": received_ms}
        if posted.faults:
            answer["message"] = {str(index): faults for index, faults in posted.faults.items()}
            for faults in posted.faults.values():
                self.count_faults(faults)
        return orjson.dumps(answer)

    def count_faults(self, faults: Faults) -> None:
        """Count an event's faults by their fields."""
        for field in faults:
            self._metrics.refused(field if field in READERS else "body")

    def _reply(self, reply: Reply, status: int, headers: Headers, body: bytes) -> None:
        self._metrics.responded(EVENTS_PATH, status)
        reply(status, headers, body)


def _site(request: Request) -> tuple[bytes, bytes]:
    return request.headers.get(b"origin", b""), request.headers.get(b"host", b"")


def to_stop(fault: Exception) -> Stop:
    """The answer when nothing could be promised."""
    if isinstance(fault, SpoolFull):
        return Stop(507, "storage", "The collector's disk is full", AGAIN)
    return Stop(503, "storage", "The collector cannot store events now", AGAIN)
