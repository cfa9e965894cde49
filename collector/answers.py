"""Answers, and the headers that all of one kind have."""

import orjson

Headers = tuple[tuple[bytes, bytes], ...]
Answer = tuple[int, Headers, bytes]
"""Status, headers without the length, body."""

RETRY_S = 10
SAFE: Headers = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
JSON: Headers = ((b"content-type", b"application/json"), *SAFE)
TEXT: Headers = ((b"content-type", b"text/plain; charset=utf-8"), *SAFE)
IMAGE: Headers = ((b"content-type", b"image/gif"), *SAFE)
AGAIN: Headers = ((b"retry-after", str(RETRY_S).encode()),)


class Stop(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, field: str, text: str, headers: Headers = ()) -> None:
        super().__init__(text)
        self.status, self.message, self.headers = status, {field: text}, headers

    def answer(self) -> Answer:
        """The answer, which names the field."""
        status, headers, body = to_json(self.status, {"message": self.message})
        return status, (*headers, *self.headers), body


def to_json(status: int, answer: object) -> Answer:
    """An answer in JSON."""
    return status, JSON, orjson.dumps(answer)
