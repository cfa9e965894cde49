"""The bytes of a record in the spool: length, checksum, key, value. A torn record is told from a whole one."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

HEAD = struct.Struct(">II")
"""Length of the body and its CRC-32."""

KEY = struct.Struct(">H")
"""Length of the key, at the beginning of the body."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One record; `end` is the offset behind it, counted from where reading began."""

    key: bytes
    value: bytes
    end: int


def to_frame(key: bytes, value: bytes) -> bytes:
    """The record's bytes. A key has at most 65,535 bytes."""
    body = KEY.pack(len(key)) + key + value
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def read_frames(chunk: bytes) -> Iterator[Frame]:
    """The whole records at the beginning of `chunk`; ends before the first one that is torn or damaged."""
    start = 0
    while start + HEAD.size <= len(chunk):
        length, crc = HEAD.unpack_from(chunk, start)
        body = chunk[start + HEAD.size : start + HEAD.size + length]
        # A hole of zeros, as a power cut leaves it, reads as an empty body with the right checksum.
        if length < KEY.size or len(body) < length or zlib.crc32(body) != crc:
            return
        split = KEY.size + KEY.unpack_from(body)[0]
        start += HEAD.size + length
        yield Frame(body[KEY.size : split], body[split:], start)


def is_torn_tail(rest: bytes) -> bool:
    """Whether `rest`, which holds no whole record at its beginning, is one that was not written to its end.

    Anything else is damage to what had been written, and worth keeping.
    """
    return len(rest) < HEAD.size or len(rest) < HEAD.size + HEAD.unpack_from(rest)[0]
