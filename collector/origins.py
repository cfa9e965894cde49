"""Which sites may send: CORS by an allow-list, never with credentials."""

from collections.abc import Collection
from urllib.parse import urlsplit

Headers = list[tuple[bytes, bytes]]

ANY = "*"
MAX_AGE_S = 86_400
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", str(MAX_AGE_S).encode()),
]


def parse_sites(given: str) -> tuple[str, ...]:
    """Origins as browsers send them, separated by commas: https://example.com,https://shop.example.com, or *"""
    sites = tuple(site.strip().rstrip("/").lower() for site in given.split(",") if site.strip())
    for site in sites:
        parts = urlsplit(site)
        if site != ANY and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query):
            raise ValueError(f"want origins such as https://example.com, or *, got {site!r}")
    if not sites:
        raise ValueError("want at least one origin, or *")
    return sites


class Origins:
    """The allow-list. The collector's own origin is always on it: behind a site's own domain nothing is foreign."""

    def __init__(self, sites: Collection[str]) -> None:
        self._sites = frozenset(site.encode() for site in sites)
        self._any = ANY.encode() in self._sites

    def allows(self, origin: bytes, host: bytes) -> bool:
        """Whether a request with this Origin may send; one without any comes from no page, and may."""
        origin = origin.lower()
        return not origin or self._any or origin in self._sites or origin.partition(b"://")[2] == host.lower() != b""

    def headers(self, origin: bytes, host: bytes) -> Headers:
        """What lets the page read the answer. Caches must not hand one site's answer to another.

        A site that may not send gets `*`: it can read that it is refused, and its tag stops trying.
        """
        if not origin or self._any or not self.allows(origin, host):
            return [(b"access-control-allow-origin", b"*"), (b"vary", b"Origin")]
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
