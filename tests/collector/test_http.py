"""The collector over real connections: routes, headers, and what a hostile client gets. The table is frozen."""

import gzip
import json
import socket
import time
from typing import Any

import pytest

from tests.collector.parts import HOST, CollectorProcess, pageview, read_topic

pytestmark = pytest.mark.stack

EVENTS = "/api/webeventspub"
LIMIT = 512 * 1024


def talk(collector: CollectorProcess, request: bytes, *, wait_s: float = 5.0) -> bytes:
    """Everything that the collector says to `request` until it closes, or is quiet after an answer."""
    with socket.create_connection((HOST, collector.port), timeout=wait_s) as connection:
        connection.sendall(request)
        said = b""
        try:
            while part := connection.recv(65_536):
                said += part
                if is_whole(said):
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return said


def is_whole(said: bytes) -> bool:
    head, blank, body = said.partition(b"\r\n\r\n")
    if not blank:
        return False
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return len(body) >= int(lengths[0]) if lengths else True


def status(said: bytes) -> int:
    return int(said.split()[1])


def header(said: bytes, name: str) -> str | None:
    head = said.partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    return pairs.get(name)


def message(said: bytes) -> Any:
    return json.loads(said.partition(b"\r\n\r\n")[2])


def request(
    body: bytes = b"", *, method: str = "POST", path: str = EVENTS, length: int | None = None, **headers: str
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: collect.example.com", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def good(**fields: object) -> bytes:
    return json.dumps(pageview(**fields)).encode()


def padded(size: int) -> bytes:
    body = good(padding="")
    return body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')


def deep(levels: int) -> bytes:
    return good()[:-1] + b',"deep":' + b"[" * levels + b"]" * levels + b"}"


def chunked(body: bytes) -> bytes:
    head = request(Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    return head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


HOSTILE = {
    "no body": (request(), 400),
    "one byte": (request(b"{"), 400),
    "one byte below the limit": (request(padded(LIMIT - 1)), 200),
    "at the limit": (request(padded(LIMIT)), 200),
    "one byte above the limit": (request(padded(LIMIT + 1)), 413),
    "10 MB announced": (request(b"x" * 1_000, length=10_000_000), 413),
    "an announced length of 30 digits": (request(b"x").replace(b"Length: 1", b"Length: " + b"9" * 30), 400),
    "1 MB in one chunk": (chunked(b"x" * 1_000_000), 413),
    "a chunk that is not yet at its end": (chunked(b"x" * 1_000_000)[:-100_000], 413),
    "a good event in a chunk": (chunked(good()), 200),
    "a gzip bomb": (request(gzip.compress(b"0" * 10_000_000), Content_Encoding="gzip"), 415),
    "brotli": (request(good(), Content_Encoding="br"), 415),
    "a form": (request(good(), Content_Type="application/x-www-form-urlencoded"), 415),
    "a file upload": (request(good(), Content_Type="multipart/form-data; boundary=x"), 415),
    "NaN": (request(good().replace(b'"seq": 1', b'"seq": NaN')), 400),
    "a byte order mark": (request(b"\xef\xbb\xbf" + good()), 200),
    "half of a surrogate pair": (request(good(pageTitle="\ud83d")), 200),
    "a depth of 1000": (request(b"[" * 1_000 + b"]" * 1_000), 400),
    "a depth of 1000 in an unknown field": (request(deep(1_000)), 200),
    "a depth past the parser's": (request(deep(2_000)), 400),
    "a visitor of 4 kB": (request(good(uiud="u" * 4_096)), 400),
    "a visitor of null": (request(good(uiud=None)), 400),
    "year 9999": (request(good(timestamp=253_402_300_799_999)), 200),
    "1970": (request(good(timestamp=0)), 200),
    "plain text, as a beacon": (request(good(), Content_Type="text/plain;charset=UTF-8"), 200),
    "an origin not of the web": (request(good(), Origin="null"), 200),  # this collector has --sites *
    "a user agent of 20 kB": (request(good(), User_Agent="x" * 20_000), 200),
    "a user agent with control bytes": (request(good(), User_Agent="a\x1b[31mb"), 400),
    "a head of 40 kB": (request(good(), X_Large="x" * 40_000), 431),
    "a header that never ends": (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, 431),
    "1,000 headers": (request(good(), **{f"X-{number}": "y" * 40 for number in range(1_000)}), 431),
    "an address of 40 kB": (request(method="GET", path="/" + "a" * 40_000), 431),
    "a body length and chunks at once": (request(good(), Transfer_Encoding="chunked"), 400),
    "two different body lengths": (request(b"{}", Content_Length="5"), 400),
    "a folded header": (request(good(), X="a\r\n b"), 400),
    "a header without a name": (request(good()).replace(b"Host:", b":"), 400),
    "a bare CR in a header": (request(good(), X="a\rb"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 404),
    "a path outside": (request(method="GET", path="/../../etc/passwd"), 404),
    "a path of bad UTF-8": (request(method="GET", path="/%ff%fe"), 404),
    "TRACE": (request(method="TRACE"), 405),
    "PUT": (request(method="PUT"), 405),
    "DELETE of a tag": (request(method="DELETE", path="/tag.js"), 405),
    "an unknown method": (request(method="BREW"), 400),
    "GET of the events": (request(method="GET"), 405),
    "a pixel without a page": (request(method="GET", path="/pixel.gif"), 400),
    "a pixel of 65 fields": (request(method="GET", path="/pixel.gif?" + "a=1&" * 65), 400),
    "a pixel with bad escapes": (request(method="GET", path="/pixel.gif?pageUrl=%ff%zz%00"), 200),
    "a cookie that is none": (request(method="GET", path="/pixel.gif?pageUrl=a", Cookie=";;;=\xff;uiud"), 200),
    "an upgrade to WebSocket": (
        request(method="GET", path="/healthz", Upgrade="websocket").replace(b"close", b"upgrade"), 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "verdict"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_requests_get_their_verdict(collector: CollectorProcess, sent: bytes, verdict: int) -> None:
    pid = collector.process.pid
    assert status(talk(collector, sent)) == verdict
    assert collector.process.poll() is None
    assert collector.process.pid == pid
    assert status(talk(collector, request(good()))) == 200


def test_no_answer_tells_of_the_inside(collector: CollectorProcess) -> None:
    for sent, _ in HOSTILE.values():
        said = talk(collector, sent).lower()
        assert not any(word in said for word in (b"traceback", b"uvicorn", b"127.0.0.1", b"kafka", b".py", b"orjson"))


@pytest.mark.parametrize(
    "drip",
    [b"POST /api", b"POST " + EVENTS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{"],
    ids=["in the head", "in the body"],
)
def test_a_client_that_never_ends_its_request_is_sent_away(collector: CollectorProcess, drip: bytes) -> None:
    begun = time.monotonic()
    assert status(talk(collector, drip)) == 408
    assert time.monotonic() - begun < 3


def test_a_client_that_says_nothing_is_sent_away(collector: CollectorProcess) -> None:
    assert status(talk(collector, b"")) == 408


def test_200_slow_clients_do_not_stop_the_service(collector: CollectorProcess) -> None:
    slow = [socket.create_connection((HOST, collector.port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /api/webeventspub HTTP/1.1\r\n")
        assert status(talk(collector, request(good()))) == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_connection_goes_on_after_413(collector: CollectorProcess) -> None:
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        for sent, verdict in ((padded(LIMIT + 1), b" 413 "), (good(), b" 200 ")):
            connection.sendall(request(sent).replace(b"Connection: close\r\n", b""))
            said = b""
            while not is_whole(said):
                said += connection.recv(65_536)
            assert verdict in said.split(b"\r\n")[0]


def test_pipelined_requests_are_answered_in_order(collector: CollectorProcess) -> None:
    sent = [pageview() for _ in range(20)]
    stream = b"".join(request(json.dumps(event).encode()) for event in sent[:-1]).replace(b"Connection: close\r\n", b"")
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        connection.sendall(stream + request(json.dumps(sent[-1]).encode()))
        said = b""
        while part := connection.recv(65_536):
            said += part
    places = [said.find(event["eventId"].encode()) for event in sent]
    assert -1 not in places
    assert places == sorted(places)


def test_every_accepted_event_is_in_the_topic_under_its_visitor(
    collector: CollectorProcess, kafka_servers: str
) -> None:
    sent = [pageview(uiud=f"visitor-{number % 7}") for number in range(50)]
    single, array = sent[:10], sent[10:]
    ids = [message(talk(collector, request(json.dumps(event).encode())))["id"] for event in single]
    ids += message(talk(collector, request(json.dumps(array).encode())))["id"]
    assert ids == [event["eventId"] for event in sent]
    found = {event["eventId"]: event for event in read_topic(kafka_servers, collector.topic)}
    assert all(found[event["eventId"]]["key"] == event["uiud"] for event in sent)


def test_the_answer_tells_the_time_of_receipt(collector: CollectorProcess) -> None:
    answer = message(talk(collector, request(good())))
    assert abs(answer["receivedAt"] - time.time() * 1_000) < 5_000


def test_an_array_in_part_at_fault_is_taken_in_part(collector: CollectorProcess) -> None:
    answer = message(talk(collector, request(json.dumps([pageview(eventId="good"), {}]).encode())))
    assert answer["id"] == ["good", None]
    assert answer["message"]["1"]["pageUrl"] == "This cannot be empty"


def test_robots_are_flagged(collector: CollectorProcess, kafka_servers: str) -> None:
    robot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    talk(collector, request(good(eventId="of a robot"), User_Agent=robot))
    talk(collector, request(good(eventId="of a person"), User_Agent="Mozilla/5.0 (X11; Linux) Firefox/140.0"))
    found = {event["eventId"]: event.get("robot", False) for event in read_topic(kafka_servers, collector.topic)}
    assert (found["of a robot"], found["of a person"]) == (True, False)


def test_no_address_of_a_sender_is_stored(collector: CollectorProcess, kafka_servers: str) -> None:
    talk(collector, request(good(eventId="private"), X_Forwarded_For="203.0.113.77"))
    stored = [event for event in read_topic(kafka_servers, collector.topic) if event["eventId"] == "private"]
    assert "203.0.113.77" not in json.dumps(stored)
    assert "127.0.0.1" not in json.dumps(stored)
    assert "203.0.113.77" not in collector.log.read_text()


def test_every_answer_has_a_type_and_may_not_be_guessed_at(collector: CollectorProcess) -> None:
    paths = ("/tag.js", "/pixel.gif?pageUrl=a", "/healthz", "/readyz", "/metrics", "/nothing", EVENTS)
    for path in paths:
        said = talk(collector, request(method="GET", path=path))
        assert header(said, "content-type"), path
        assert header(said, "x-content-type-options") == "nosniff", path
        assert header(said, "server") is None


def test_the_tag_has_a_name_for_a_day_and_one_for_ever(collector: CollectorProcess) -> None:
    short = talk(collector, request(method="GET", path="/tag.js"))
    assert header(short, "cache-control") == "public, max-age=86400"
    etag = header(short, "etag")
    assert etag is not None
    digest = etag.strip('"').partition("-")[0]
    forever = talk(collector, request(method="GET", path=f"/tag.{digest}.js", Accept_Encoding="gzip, br"))
    assert header(forever, "cache-control") == "public, max-age=31536000, immutable"
    assert header(forever, "content-encoding") == "br"
    assert header(forever, "access-control-allow-origin") == "*"
    assert status(talk(collector, request(method="GET", path="/tag.js", If_None_Match=etag))) == 304
    assert status(talk(collector, request(method="GET", path="/tag.0000000000000000.js"))) == 404


def test_the_pixel_sets_its_cookies_and_knows_them_again(collector: CollectorProcess, kafka_servers: str) -> None:
    page = "https://example.com/no-script"
    first = talk(collector, request(method="GET", path="/pixel.gif?pageTitle=first", Referer=page))
    cookies = "; ".join(
        line.partition(b": ")[2].partition(b";")[0].decode()
        for line in first.split(b"\r\n") if line.startswith(b"set-cookie")
    )  # fmt: skip
    talk(collector, request(method="GET", path="/pixel.gif?pageTitle=second", Referer=page, Cookie=cookies))
    views = [event for event in read_topic(kafka_servers, collector.topic) if event["pageUrl"] == page]
    assert [view["pageTitle"] for view in views] == ["first", "second"]
    assert len({(view["uiud"], view["sessionId"]) for view in views}) == 1
    assert [view["landingPage"] for view in views] == ["1", "0"]


@pytest.mark.parametrize("objection", ["DNT", "Sec-GPC"])
def test_who_objects_is_not_counted_by_the_pixel(
    collector: CollectorProcess, kafka_servers: str, objection: str
) -> None:
    said = talk(collector, request(method="GET", path=f"/pixel.gif?pageUrl=o-{objection}", **{objection: "1"}))
    assert status(said) == 200
    assert header(said, "set-cookie") is None
    assert not [e for e in read_topic(kafka_servers, collector.topic) if e["pageUrl"] == f"o-{objection}"]


def test_the_metrics_count_and_name_no_visitor(collector: CollectorProcess) -> None:
    before = collector.metric('events_stored_total{at="kafka"}')
    talk(collector, request(good(uiud="visitor-of-metrics")))
    assert collector.metric('events_stored_total{at="kafka"}') == before + 1
    assert b"visitor-of-metrics" not in collector.get("/metrics")
    assert collector.metric("spooling") == 0


def test_ready_and_healthy(collector: CollectorProcess) -> None:
    assert collector.get("/healthz") == {"status": "ok"}
    assert collector.get("/readyz") == {"ready": True, "storesAt": "kafka"}
