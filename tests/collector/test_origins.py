"""CORS by an allow-list."""

import pytest

from collector.origins import Origins, parse_sites

LISTED = Origins(parse_sites("https://example.com/, https://Shop.example.com"))

VERDICTS = {
    "a listed site": ("https://example.com", "collect.example.net", True),
    "another listed site, whatever its case": ("https://SHOP.example.com", "collect.example.net", True),
    "the same site without TLS": ("http://example.com", "collect.example.net", False),
    "a site that ends alike": ("https://evil-example.com", "collect.example.net", False),
    "a site that begins alike": ("https://example.com.evil.net", "collect.example.net", False),
    "an origin not of the web": ("null", "collect.example.net", False),
    "no page at all": ("", "collect.example.net", True),
    "the collector's own origin": ("https://www.own.example", "www.own.example", True),
    "an empty host": ("https://", "", False),
}


@pytest.mark.parametrize(("origin", "host", "allowed"), VERDICTS.values(), ids=VERDICTS)
def test_who_may_send(origin: str, host: str, allowed: bool) -> None:
    assert LISTED.allows(origin.encode(), host.encode()) is allowed


def test_a_listed_site_is_named_and_never_gets_credentials() -> None:
    headers = LISTED.headers(b"https://example.com", b"collect.example.net")
    assert headers == [(b"access-control-allow-origin", b"https://example.com"), (b"vary", b"Origin")]


def test_an_origin_that_is_not_listed_is_not_reflected() -> None:
    headers = dict(LISTED.headers(b"https://evil.net", b"collect.example.net"))
    assert headers[b"access-control-allow-origin"] == b"*"


@pytest.mark.parametrize(
    "given", ["", " , ", "example.com", "https://example.com/path", "ftp://example.com", "*.example.com"]
)
def test_a_list_with_a_slip_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="want"):
        parse_sites(given)
