"""A proxy before a server that counts what it is asked, by the name of the API's method."""

import re
import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

METHODS = (
    ("POST", r"/bigquery/v2/projects/[^/]+/jobs", "jobs.insert"),
    ("GET", r"/bigquery/v2/projects/[^/]+/jobs/[^/]+", "jobs.get"),
    ("GET", r"/bigquery/v2/.*/tables/[^/]+", "tables.get"),
    ("GET", r"/download/storage/v1/b/[^/]+/o/.+", "objects.get media"),
    ("GET", r"/storage/v1/b/[^/]+/o/.+", "objects.get"),
    ("POST", r"/upload/storage/v1/b/[^/]+/o", "objects.insert"),
)
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Counting:
    """Listens on a free port of loopback; `url` is its address, `calls` what was asked since the last `take`."""

    def __init__(self, server_url: str) -> None:
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(server_url).netloc))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def note(self, verb: str, path: str) -> None:
        """Count one request. A path that is not known stands under its own name: nothing is left out."""
        bare = path.split("?")[0]
        name = next((name for v, pattern, name in METHODS if v == verb and re.fullmatch(pattern, bare)), None)
        with self.lock:
            self.calls[name or f"{verb} {bare}"] += 1

    def take(self) -> Counter[str]:
        """The counts so far; begins anew."""
        with self.lock:
            taken, self.calls = self.calls, Counter()
        return taken


def _handler(counting: Counting, netloc: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def pass_on(self) -> None:
            counting.note(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            beyond = HTTPConnection(netloc, timeout=600)
            beyond.request(self.command, self.path, body=body or None, headers=headers)
            answer = beyond.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            beyond.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            pass

    return Handler
