"""Lines of log files: plain, gzip, or standard input."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from feeds.combined_log import MAX_LINE_BYTES

GZIP_MAGIC = b"\x1f\x8b"


class FileCutShort(Exception):
    """The file cannot be read, or not to its end. The text says why; the lines before it stand."""


def read_lines(path: str, advance: Callable[[int], None]) -> Iterator[bytes]:
    """The lines of one file without their line ends; `-` is standard input. gzip is known by its first bytes.

    `advance` is told the bytes that were read of the file as it lies on the disk. A line longer than
    MAX_LINE_BYTES comes out cut to one byte more than that. Raises FileCutShort after the last whole line.
    """
    try:
        with _opened(path) as raw:
            counted = io.BufferedReader(_Counted(raw, advance), buffer_size=262_144)
            packed = counted.peek(2)[:2] == GZIP_MAGIC
            # gzip.open reads members one after the other, as rotated logs that were joined have them.
            if not packed:
                yield from _split(counted)
                return
            with gzip.open(counted) as unpacked:
                yield from _split(cast(BinaryIO, unpacked))
    except EOFError:
        raise FileCutShort("the gzip file is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileCutShort(f"the gzip file is damaged ({error})") from None
    except OSError as error:
        raise FileCutShort(f"cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb", buffering=0) as raw:
            yield cast(BinaryIO, raw)


def _split(stream: BinaryIO | io.BufferedReader) -> Iterator[bytes]:
    limit = MAX_LINE_BYTES + 2
    while line := stream.readline(limit):
        whole = line
        while len(whole) == limit and not whole.endswith(b"\n"):
            whole = stream.readline(limit)
        yield line.rstrip(b"\r\n")


class _Counted(io.RawIOBase):
    """Tells how many bytes were read: of a gzip file the compressed ones, whose number is known beforehand."""

    def __init__(self, raw: BinaryIO, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._raw, self._advance = raw, advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        got = self._raw.read(len(buffer)) or b""
        buffer[: len(got)] = got
        self._advance(len(got))
        return len(got)


def size_bytes(paths: Sequence[str]) -> int | None:
    """What `advance` will be told in all; None where it cannot be known."""
    try:
        return None if "-" in paths else sum(os.stat(path).st_size for path in paths)
    except OSError:
        return None
