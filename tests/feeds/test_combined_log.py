"""Lines of a combined log, sound and damaged."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.combined_log import MAX_LINE_BYTES, DamagedLine, Request, parse_line, to_url
from tests.feeds.imports import AGENT, log_line

SECOND = 1431856800  # 2015-05-17 10:00:00 UTC


def test_a_line_as_apache_writes_it() -> None:
    line = log_line(target="/blog?page=2", referrer="https://other.example/x", host="203.0.113.9")
    assert parse_line(line.encode()) == Request(
        "203.0.113.9", SECOND, "GET", "/blog?page=2", 200, "https://other.example/x", AGENT
    )


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param(log_line(zone="+0200"), "second", SECOND - 7200, id="a zone east of Greenwich is ahead of UTC"),
        pytest.param(log_line(zone="-0330"), "second", SECOND + 12600, id="a zone west of Greenwich is behind UTC"),
        pytest.param(log_line(referrer="-"), "referrer", None, id="a dash is no referrer"),
        pytest.param(log_line(referrer=""), "referrer", None, id="an empty referrer is none"),
        pytest.param(log_line(agent=r"a \"b\" \\ c"), "agent", r'a "b" \ c', id="Apache's escapes are undone"),
        pytest.param(log_line(agent=r"caf\xc3\xa9 \x22"), "agent", 'café "', id="nginx's escapes are undone"),
        pytest.param(log_line(agent=r"\xff"), "agent", "\ufffd", id="bytes that are not UTF-8 are replaced"),
        pytest.param(log_line(target="/a b"), "target", "/a b", id="a space in the address belongs to it"),
        pytest.param(log_line(referrer=r"http://x/\xc3\xa9%20"), "referrer", "http://x/%C3%A9%20", id="a URL is ASCII"),
        pytest.param(log_line().replace(" HTTP/1.1", ""), "target", "/", id="HTTP/0.9 has no protocol"),
        pytest.param(log_line().replace("GET / HTTP/1.1", "-"), "method", "-", id="a request that was never sent"),
        pytest.param(log_line().replace("200 123", "200 -"), "status", 200, id="a dash for no bytes"),
        pytest.param(log_line() + ' "-" 0.003', "agent", AGENT, id="fields after the user agent are passed over"),
        pytest.param(log_line().replace("- - [", "- Ann Lee ["), "host", "a.example", id="a user name with a space"),
    ],
)
def test_a_line_that_is_read(line: str, name: str, value: object) -> None:
    assert getattr(parse_line(line.encode()), name) == value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"hello", "not in the combined log format", id="another text"),
        pytest.param(log_line().encode()[:-9], "not in the combined log format", id="a line cut in its user agent"),
        pytest.param(b"\x00" * 40, "not in the combined log format", id="zeros, as a crash leaves them"),
        pytest.param(log_line(agent='a"b').encode(), "not in the combined log format", id="a quote not escaped"),
        pytest.param(log_line(day="31/Feb/2015").encode(), "its time cannot be read", id="a day that does not exist"),
        pytest.param(log_line(day="17/Mai/2015").encode(), "its time cannot be read", id="a month in another language"),
        pytest.param(log_line(at="25:00:00").encode(), "its time cannot be read", id="an hour that does not exist"),
        pytest.param(
            log_line(target="/" + "x" * MAX_LINE_BYTES).encode(), "longer than 65536 bytes", id="a line without an end"
        ),
    ],
)
def test_a_damaged_line_says_why_and_repeats_nothing_of_itself(line: bytes, reason: str) -> None:
    with pytest.raises(DamagedLine) as caught:
        parse_line(line)
    assert str(caught.value) == reason


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_damaged(line: bytes) -> None:
    with suppress(DamagedLine):
        assert isinstance(parse_line(line), Request)


@given(st.text(max_size=50))
def test_a_url_is_ascii_and_stays_as_it_is_when_it_is_read_again(text: str) -> None:
    url = to_url(text.encode().decode("latin-1"))
    assert url.isascii()
    assert to_url(url) == url


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"a b " + b" [" * 30_000, id="many beginnings of a time"),
        pytest.param(b"a b c [" + b"x" * 60_000, id="a time without an end"),
        pytest.param(log_line().encode() + b'\\"' * 30_000, id="many escaped quotes"),
        pytest.param(b"a b c " + b'[] "' * 15_000, id="many beginnings of a request"),
    ],
)
def test_a_line_made_to_be_slow_is_not(line: bytes) -> None:
    started_s = time.process_time()
    with pytest.raises(DamagedLine):
        parse_line(line)
    assert time.process_time() - started_s < 0.3
