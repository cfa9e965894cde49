"""One connection: whichever way a request goes, and however its bytes arrive, it gets the same answer."""

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from collector.connection import HEAD_BYTES, Connection, Doors, build_protocol
from collector.events import Reply, Request
from tests.collector.parts import HOST, CollectorProcess, pageview, read_topic, wait_for
from tests.collector.test_http import good, is_whole, message, request, status


def kept_open(sent: bytes) -> bytes:
    return sent.replace(b"Connection: close\r\n", b"")


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """The next `count` answers, each of which tells its length."""
    said, found = b"", []
    while len(found) < count:
        said += connection.recv(65_536)
        while is_whole(said):
            head, _, rest = said.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line), 0)
            found.append(head + b"\r\n\r\n" + rest[:length])
            said = rest[length:]
    return found


SPLITS = {
    "in the request line": 10, "in a header": 40, "before the body": -1, "in the body": -2, "before the last byte": -3,
}  # fmt: skip


@pytest.mark.stack
@pytest.mark.parametrize("place", SPLITS.values(), ids=SPLITS)
def test_a_request_in_two_pieces_is_answered_as_in_one(collector: CollectorProcess, place: int) -> None:
    body = good(eventId=f"split-{place}")
    sent = kept_open(request(body, Origin="https://example.com"))
    begin = sent.index(b"\r\n\r\n") + 4
    at = {-1: begin, -2: begin + 20, -3: len(sent) - 1}.get(place, place)
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(sent)
        (whole,) = answers(connection, 1)
        pieces = collector.metric('responses_total{route="/api/webeventspub",status="200"}')
        connection.sendall(sent[:at])
        wait_for(lambda: collector.get("/healthz"), "another request is answered meanwhile")
        connection.sendall(sent[at:])
        (split,) = answers(connection, 1)
    assert message(split)["id"] == message(whole)["id"] == f"split-{place}"
    fixed = [line for line in split.split(b"\r\n") if not line.startswith((b"date", b"{"))]
    assert sorted(fixed) == sorted(line for line in whole.split(b"\r\n") if not line.startswith((b"date", b"{")))
    assert collector.metric('responses_total{route="/api/webeventspub",status="200"}') == pieces + 1


@pytest.mark.stack
def test_requests_of_all_kinds_in_one_piece_are_answered_in_order(
    collector: CollectorProcess, kafka_servers: str
) -> None:
    first, second = pageview(), pageview()
    stream = [
        request(json.dumps(first).encode()), request(method="GET", path="/healthz"), request(b"{"),
        request(method="OPTIONS", Origin="https://example.com"), request(json.dumps(second).encode()),
        request(method="GET", path="/nothing"),
    ]  # fmt: skip
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        connection.sendall(kept_open(b"".join(stream)))
        found = answers(connection, len(stream))
    assert [status(answer) for answer in found] == [200, 200, 400, 204, 200, 404]
    assert [message(found[0])["id"], message(found[4])["id"]] == [first["eventId"], second["eventId"]]
    stored = [event["eventId"] for event in read_topic(kafka_servers, collector.topic)]
    assert (stored.count(first["eventId"]), stored.count(second["eventId"])) == (1, 1)


@pytest.mark.stack
def test_who_leaves_before_the_answer_harms_nobody(collector: CollectorProcess, kafka_servers: str) -> None:
    sent = [pageview() for _ in range(20)]
    for event in sent:
        with socket.create_connection((HOST, collector.port)) as connection:
            connection.sendall(request(json.dumps(event).encode()))

    def stored() -> bool:
        found = {event["eventId"] for event in read_topic(kafka_servers, collector.topic)}
        return found >= {event["eventId"] for event in sent}

    wait_for(stored, "what was whole is stored")
    wait_for(lambda: collector.metric("connections") <= 2, "the connections are forgotten")
    assert b"Traceback" not in collector.log.read_bytes()


@pytest.mark.stack
def test_an_old_client_is_answered_and_let_go(collector: CollectorProcess) -> None:
    sent = kept_open(request(good())).replace(b"HTTP/1.1", b"HTTP/1.0")
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        connection.sendall(sent)
        said = b""
        while part := connection.recv(65_536):
            said += part
    assert status(said) == 200


@pytest.mark.stack
def test_a_client_that_waits_for_100_is_told_to_go_on(collector: CollectorProcess) -> None:
    body = good()
    head, _, _ = request(body, Expect="100-continue").partition(b"\r\n\r\n")
    with socket.create_connection((HOST, collector.port), timeout=5) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert b" 100 " in connection.recv(65_536)
        connection.sendall(body)
        assert status(connection.recv(65_536)) == 200


def exchange(take: Any, *sent: bytes) -> list[bytes]:
    """What a server whose events are taken by `take` says to each of `sent`, on one connection."""

    async def talk() -> list[bytes]:
        config = uvicorn.Config(lambda scope, receive, send: None, log_config=None, interface="asgi3")
        protocol = build_protocol(Doors(10, 0, 5.0), take)
        server = await asyncio.get_running_loop().create_server(lambda: protocol(config, ServerState(), {}), HOST, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        said = []
        for piece in sent:
            writer.write(piece)
            said.append(await asyncio.wait_for(reader.read(65_536), 5))
        writer.close()
        server.close()
        return said

    return asyncio.run(talk())


def test_a_fault_of_the_collectors_own_is_500_and_never_the_senders() -> None:
    def fail(_: Request, __: bytes, ___: Reply) -> None:
        raise RuntimeError("a slip")

    once, again = exchange(fail, kept_open(request(good())), kept_open(request(good())))
    assert status(once) == status(again) == 500
    assert b"slip" not in once


def test_the_first_answer_counts() -> None:
    def answer_twice(_: Request, body: bytes, reply: Reply) -> None:
        reply(200, (), body)
        reply(200, (), b"again")

    once, again = exchange(answer_twice, kept_open(request(b"one")), kept_open(request(b"two")))
    assert (once.endswith(b"\r\n\r\none"), again.endswith(b"\r\n\r\ntwo")) == (True, True)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, list[Connection]], Awaitable[None]]


def converse(take: Any, talk: Talk, *, app: Any = lambda scope, receive, send: None) -> None:
    """Let `talk` use one connection to a server, whose ends it is given; a request has 1 s."""
    ends: list[Connection] = []

    async def serve() -> None:
        config = uvicorn.Config(app, log_config=None, interface="asgi3")
        protocol = build_protocol(Doors(10, 0, 1.0), take)

        def build() -> Connection:
            ends.append(protocol(config, ServerState(), {}))
            return ends[-1]

        server = await asyncio.get_running_loop().create_server(build, HOST, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.wait_for(talk(reader, writer, ends), 5)
        writer.close()
        server.close()

    asyncio.run(serve())


def agree(_: Request, __: bytes, reply: Reply) -> None:
    reply(200, (), b"yes")


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_a_blank_line_behind_an_answer_holds_no_door() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: list[Connection]) -> None:
        writer.write(kept_open(request(good())))
        assert status(await reader.read(65_536)) == 200
        writer.write(b"\r\n")
        assert status(await reader.read()) == 408

    converse(agree, talk)


def test_a_blank_line_before_a_request_is_passed() -> None:
    once, again = exchange(agree, kept_open(request(good())), b"\r\n" + kept_open(request(good())))
    assert status(once) == status(again) == 200


def test_who_does_not_read_its_answer_gets_no_second_one_meanwhile() -> None:
    ways: list[str] = []

    def take(_: Request, __: bytes, reply: Reply) -> None:
        ways.append("at once")
        reply(200, (), bytes(32 * 1024 * 1024))

    async def app(_: object, __: object, ___: object) -> None:
        ways.append("when it reads")

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: list[Connection]) -> None:
        for count in (1, 2):
            writer.write(kept_open(request(good())))
            await until(lambda count=count: len(ways) == count)

    converse(take, talk, app=app)
    assert ways == ["at once", "when it reads"]


def test_a_body_is_let_go_with_its_answer_and_a_connection_with_its_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: list[Connection]) -> None:
        writer.write(kept_open(request(good())))
        assert status(await reader.read(65_536)) == 200
        assert ends[0].cycle.body == b""
        end = weakref.ref(ends.pop())
        writer.close()
        await until(lambda: end() is None)

    gc.collect()
    gc.disable()
    try:
        converse(agree, talk)
    finally:
        gc.enable()


CHUNKED = b"POST /api/webeventspub HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"], ids=["bare", "trailer"])
def test_a_header_behind_the_body_is_refused(end: bytes) -> None:
    (said,) = exchange(agree, CHUNKED + end)
    assert status(said) == (400 if b"X-" in end else 200)


def test_a_trailer_that_never_ends_is_refused() -> None:
    async def app(_: object, receive: Callable[[], Awaitable[Any]], __: object) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: list[Connection]) -> None:
        writer.write(CHUNKED)
        await until(lambda: ends and ends[0].cycle is not None)
        writer.write(b"0\r\nx: ")
        for _ in range(HEAD_BYTES // 1024 + 1):
            writer.write(b"x" * 1024)
        assert status(await reader.read()) == 431

    converse(agree, talk, app=app)
