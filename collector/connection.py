"""One HTTP connection: uvicorn's, with an end to what a slow or greedy client may hold."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from collector.app import ANSWER
from collector.origins import Headers

HEAD_BYTES = 32 * 1024
"""Request line and headers together; browsers send a tenth of it."""

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Doors:
    """How many connections there may be: in all, and from one address (0: no bound); and how long one request."""

    connections: int
    per_address: int
    request_s: float
    open: Counter[str] = field(default_factory=Counter)


class Connection(HttpToolsProtocol):
    """A request must be whole within `request_s` of its first byte, and its head within 32 KiB."""

    doors: Doors

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _head_bytes = 0  # as they came in: a header that never ends is seen here only
    _too_large = False
    _in_head = True
    _begun = False  # a request, and not yet whole
    _address = ""

    def connection_made(self, transport: Any) -> None:
        """Count it; one too many is told so and closed."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.doors.open[self._address] += 1
        held = self.doors.open[self._address]
        if len(self.connections) > self.doors.connections or 0 < self.doors.per_address < held:
            self._refuse(BUSY)
            return
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_deadline()
        self.resume_writing()
        self.doors.open[self._address] -= 1
        if not self.doors.open[self._address]:
            del self.doors.open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request; an endless head ends here."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(TOO_LARGE)
        elif self._begun and self._deadline is None:
            self._start_deadline()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun = True
        super().on_message_begin()

    def send_400_response(self, msg: str) -> None:
        """What the parser refused."""
        if self._too_large:
            self._refuse(TOO_LARGE)
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._too_large = True
            raise ValueError("the head is too large")  # the parser stops, and send_400_response is called
        super().on_headers_complete()
        cycle = self.cycle
        extensions: dict[str, Any] = {ANSWER: partial(self._answer, cycle)}
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head_bytes, self._begun = True, 0, False
        self._stop_deadline()
        super().on_message_complete()

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one piece: what two messages of ASGI do in twice the time."""
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            parts.append(body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def pause_writing(self) -> None:
        """The client does not read: it has as long as for sending."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.doors.request_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.doors.request_s, self._expire)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        self._refuse(TIMEOUT)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(answer)
            self.transport.close()


def build_protocol(doors: Doors) -> type[Connection]:
    """The protocol class for uvicorn, which makes one object a connection and gives it nothing of ours."""
    return type("BoundedConnection", (Connection,), {"doors": doors})
