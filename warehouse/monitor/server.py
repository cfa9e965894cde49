"""GET /, /status.json and /metrics of the newest status, on loopback."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from contract.failures import ConfigError
from warehouse.monitor.health import Status
from warehouse.monitor.page import to_html, to_metrics

HOST = "127.0.0.1"
TIMEOUT_S = 10
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; version=0.0.4; charset=utf-8"


STALE_LOOKS, STALE_S = 3, 60
"""A status older than so many looks and seconds is none."""


class Board:
    """Holds the newest status; the server's threads read it."""

    def __init__(self, every_s: int, now: Callable[[], float]) -> None:
        self.every_s, self.now = every_s, now
        self.status: Status | None = None

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status code, content type and body for a path."""
        status = self.status
        if path not in ("/", "/status.json", "/metrics"):
            return 404, TEXT, b"/, /status.json or /metrics\n"
        if status is None:
            return 503, TEXT, b"the first look is under way\n"
        if (age_s := self.now() - status.at) > STALE_LOOKS * self.every_s + STALE_S:
            return 503, TEXT, f"the last look began {age_s:.0f} s ago: see the monitor's log\n".encode()
        if path == "/":
            return 200, HTML, to_html(status, self.every_s).encode()
        if path == "/metrics":
            return 200, TEXT, to_metrics(status)
        return 200, JSON, json.dumps(status.to_json(), indent=1).encode() + b"\n"


def serve(board: Board, port: int) -> ThreadingHTTPServer:
    """Answer on loopback until `shutdown`. Raises ConfigError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S
        server_version, sys_version = "webevents", ""

        def do_GET(self) -> None:  # noqa: N802 - the library's name
            code, kind, body = board.answer(self.path.partition("?")[0])
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: object) -> None:
            """No line a request."""

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise ConfigError(f"--port {port} cannot be taken on {HOST}: {error.strerror}") from error
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="status page", daemon=True).start()
    return server
