"""One HTTP connection: uvicorn's, with an end to what a slow or greedy client may hold."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.answers import Stop
from collector.events import EVENTS_PATH, Reply, Request
from collector.exchange import Exchange

log = logging.getLogger(__name__)

EVENTS_URL = EVENTS_PATH.encode()
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


Take = Callable[[Request, bytes, Reply], None]
"""Judges a whole POST of events and answers it, at once or later: collector.events.Events.take."""


class Connection(HttpToolsProtocol):
    """A request must be whole within `request_s` of its first byte, and its head within 32 KiB.

    A POST of events that is whole when its first bytes are read, and has no other before it, goes straight to `take`;
    every other request goes uvicorn's way, as a task of the application.
    """

    doors: Doors
    take: Take

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _head_bytes = 0  # as they came in: a header that never ends is seen here only
    _too_large = False
    _in_head = True
    _bare_bytes = 0  # behind the head, and no body: trailers, or what a chunk's length is followed by
    _heard = False  # the parser made something of the last piece
    _begun = False  # a request, and not yet whole
    _address = ""
    _parts: list[bytes] | None = None  # the body so far of what may go straight to `take`
    _whole: Exchange | None = None  # what goes there when the parser has done

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
        self.cycle = None  # type: ignore[assignment]  # an exchange knows its connection: each would keep the other

    def data_received(self, data: bytes) -> None:
        """Some of a request; an endless head or trailer ends here."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._heard = False
        super().data_received(data)
        if self._whole is not None:
            self._take_whole(self._whole)
        if not self._in_head and not self._heard:
            self._bare_bytes += len(data)
        if (self._in_head and self._head_bytes > HEAD_BYTES) or self._bare_bytes > HEAD_BYTES:
            self._refuse(TOO_LARGE)
        elif not self.transport.is_closing():
            self._wait_for_the_rest()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one behind the body would pass for the proxy's own."""
        if not self._in_head:
            raise ValueError("a trailer")  # the parser stops, and send_400_response is called
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        """What the parser refused."""
        if self._too_large:
            self._refuse(TOO_LARGE)
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._heard = False, True
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._too_large = True
            raise ValueError("the head is too large")  # the parser stops, and send_400_response is called
        if self._is_ordinary():
            self._parts = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._heard = True
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head_bytes, self._begun = True, 0, False
        self._heard, self._bare_bytes = True, 0
        self._stop_deadline()
        if self._parts is None:
            super().on_message_complete()
            return
        body, self._parts = b"".join(self._parts), None
        self._whole = Exchange(self, dict(self.headers), body, keep_alive=self.parser.should_keep_alive())
        self.cycle = self._whole  # type: ignore[assignment]

    def _is_ordinary(self) -> bool:
        return (
            self.url == EVENTS_URL
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self._is_answered()
            and not self.flow.write_paused  # uvicorn's way waits until the client reads
            and not self.parser.should_upgrade()
        )

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_the_rest(self) -> None:
        if self._begun and self._parts is not None:
            self._go_uvicorns_way(self._parts)
        # A blank line behind a request ends the wait for the next one, and begins none.
        idle = self.timeout_keep_alive_task is None and self._is_answered()
        if self._deadline is None and (self._begun or idle):
            self._start_deadline()

    def _take_whole(self, exchange: Exchange) -> None:
        self._whole = None
        # The exchange stays until the next request; the body stays only while `take` counts it.
        body, exchange.body = exchange.body, b""
        try:
            self.take(Request("POST", exchange.headers, self._address), body, exchange.reply)
        except Exception:  # noqa: BLE001 - as an application's server answers: 500, and the process goes on
            log.exception("a request was not answered")
            exchange.reply(*Stop(500, "body", "The collector failed").answer())

    def _go_uvicorns_way(self, parts: list[bytes]) -> None:
        self._parts = None
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

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
            if self._is_answered() or not self.cycle.response_started:
                self.transport.write(answer)
            self.transport.close()


def build_protocol(doors: Doors, take: Take) -> type[Connection]:
    """The protocol class for uvicorn, which makes one object a connection and gives it nothing of ours."""
    return type("BoundedConnection", (Connection,), {"doors": doors, "take": staticmethod(take)})
