"""An ordinary POST of events on its way: answered in one piece, without a task or a message of ASGI."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from collector.answers import Headers

HEADS = 1_024


class Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing happens."""


class Exchange:
    """Stands where uvicorn has its request-response cycle, and has what uvicorn asks of one."""

    __slots__ = ("_connection", "body", "disconnected", "headers", "keep_alive", "response_complete")

    message_event = Unheard()
    response_started = False

    def __init__(
        self, connection: HttpToolsProtocol, headers: Mapping[bytes, bytes], body: bytes, *, keep_alive: bool
    ) -> None:
        self._connection, self.headers, self.body, self.keep_alive = connection, headers, body, keep_alive
        self.disconnected = self.response_complete = False

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """The answer; one that comes too late is lost, and the client will ask again."""
        connection = self._connection
        if self.disconnected or self.response_complete or connection.transport.is_closing():
            return
        self.response_complete = True
        end = b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n"
        defaults = tuple(connection.server_state.default_headers)
        connection.transport.write(b"".join((to_head(status, defaults, headers), str(len(body)).encode(), end, body)))
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()


@lru_cache(HEADS)
def to_head(status: int, defaults: Headers, headers: Headers) -> bytes:
    """An answer's head as far as the length of its body."""
    lines: list[Any] = [STATUS_LINE[status]]
    for name, value in (*defaults, *headers):
        lines += (name, b": ", value, b"\r\n")
    return b"".join((*lines, b"content-length: "))
