"""The tag as it is served: under its name, and under one that changes with its content."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import brotli

Headers = list[tuple[bytes, bytes]]

SHORT = "/tag.js"
DAY_S = 86_400


@dataclass(frozen=True)
class Script:
    """The tag's bytes in each encoding, its ETag, and its immutable path /tag.<hash>.js"""

    encoded: Mapping[str, bytes]
    digest: str

    @property
    def path(self) -> str:
        """The name for ever: its content never changes, so a browser never asks again."""
        return f"/tag.{self.digest}.js"

    def answer(self, path: str, headers: Mapping[bytes, bytes]) -> tuple[int, Headers, bytes]:
        """Status, headers and body for a GET of one of the two names."""
        encoding = _choose(headers.get(b"accept-encoding", b"").decode("latin-1"))
        etag = f'"{self.digest}-{encoding}"'.encode()
        age = f"public, max-age={365 * DAY_S}, immutable" if path != SHORT else f"public, max-age={DAY_S}"
        shared = [
            (b"cache-control", age.encode()), (b"etag", etag), (b"vary", b"Accept-Encoding"),
            (b"access-control-allow-origin", b"*"), (b"cross-origin-resource-policy", b"cross-origin"),
        ]  # fmt: skip
        if etag in [tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")]:
            return 304, shared, b""
        if encoding != "identity":
            shared.append((b"content-encoding", encoding.encode()))
        return 200, [(b"content-type", b"text/javascript; charset=utf-8"), *shared], self.encoded[encoding]


def _choose(accepted: str) -> str:
    names = {part.partition(";")[0].strip() for part in accepted.lower().split(",") if "q=0" not in part.split(".")[0]}
    return next((name for name in ("br", "gzip") if name in names), "identity")


def read_script() -> Script:
    """The tag that the package carries."""
    plain = (resources.files(__package__) / "tag.min.js").read_bytes()
    packed = {"br": brotli.compress(plain, mode=brotli.MODE_TEXT), "gzip": gzip.compress(plain, 9, mtime=0)}
    return Script({"identity": plain, **packed}, hashlib.sha256(plain).hexdigest()[:16])
