"""A small shop with the tag on its pages: full page loads between rooms, and a router of its own in the shop."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local.processes import HOST

PAGES = {
    "/": ("Tea for two", "Welcome. Every page here has the tag: what you look at becomes pageviews."),
    "/shop": ("Shop", "This room loads once: the teas change the address by history.pushState."),
    "/about": ("About us", "We sell tea to people who test pipelines."),
    "/contact": ("Contact", "Write to us, or close this tab at once: the last view arrives all the same."),
}
TEAS = ("assam", "sencha", "rooibos")

Answer = tuple[str, bytes]
"""Content type and content."""

HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<script>window.webevents ||= function () {{ (webevents.q = webevents.q || []).push(arguments) }}</script>
<script async src="{collector}/tag.js"></script>
<style>body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}
nav a, button {{ margin-right: 1rem }}</style></head>
<body><nav>{links}</nav><h1>{title}</h1><p>{text}</p>{room}</body></html>
"""

SHOP = """<p>{teas}<button id="buy">Buy</button></p>
<script>
const show = (tea) => {{ document.title = document.querySelector("h1").textContent = tea || "Shop" }};
const route = () => show(location.pathname.split("/")[2]);
document.querySelectorAll("[data-tea]").forEach((link) => link.addEventListener("click", (event) => {{
  event.preventDefault();
  history.pushState({{}}, "", link.href);
  route();
}}));
addEventListener("popstate", route);
document.querySelector("#buy").addEventListener("click", () => webevents("AddToCart", {{tea: document.title}}));
route();
</script>"""


def to_page(path: str, collector_url: str) -> str | None:
    """The HTML of a path; None where there is nothing."""
    room = "/shop" if path.startswith("/shop/") else path
    if room not in PAGES:
        return None
    title, text = PAGES[room]
    links = " ".join(f'<a id="{to_id(to)}" href="{to}">{name}</a>' for to, (name, _) in PAGES.items())
    teas = " ".join(f'<a data-tea id="{tea}" href="/shop/{tea}">{tea}</a> ' for tea in TEAS)
    shop = SHOP.format(teas=teas) if room == "/shop" else ""
    return HTML.format(title=title, text=text, links=links, room=shop, collector=collector_url)


def to_id(path: str) -> str:
    """The id of the link to a page, on every page."""
    return path.strip("/") or "home"


@contextmanager
def serve(collector_url: str) -> Iterator[str]:
    """Serve the shop on a free port of loopback; yields its origin."""
    with serve_pages(lambda path: to_page(path, collector_url)) as origin:
        yield origin


@contextmanager
def serve_pages(to_html: Callable[[str], str | None], headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve what `to_html` makes of a path, 404 where that is None; yields the origin."""

    def answer(address: str, _: bytes) -> Answer | None:
        html = to_html(address.partition("?")[0])
        return None if html is None else ("text/html; charset=utf-8", html.encode())

    with serve_answers(answer, headers) as origin:
        yield origin


@contextmanager
def serve_answers(
    answer: Callable[[str, bytes], Answer | None], headers: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve what `answer` makes of an address and a POST's body, 404 where that is None; yields the origin."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond(b"")

        def do_POST(self) -> None:
            self.respond(self.rfile.read(int(self.headers.get("content-length") or 0)))

        def respond(self, body: bytes) -> None:
            found = answer(self.path, body)
            kind, content = found or ("text/plain", b"There is nothing here")
            self.send_response(200 if found else 404)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """The collector is who counts here."""

    class Site(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A browser that leaves a page cuts its connections: nothing to report."""

    server = Site((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
