"""A bounded queue of records on disk, in the order of their arrival, for the time without a broker.

A folder of segment files, each appended to by one process only and deleted once drained. What `write` returned
for is on the disk: it survives kill -9 and a power cut. A record can be drained twice, when the process
dies between the delivery and the bookmark; it cannot be lost. `write` may run in another thread than the rest.
"""

import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.frames import Frame, is_torn_tail, read_frames, to_frame

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
"""Larger than any record: a request's body is smaller."""

BOOKMARK = "bookmark.json"


class SpoolFull(Exception):
    """The bound is reached, or the disk is."""


@dataclass(frozen=True, order=True)
class Position:
    """A place in the spool: an offset in a segment."""

    segment: int
    offset: int


class Spool:
    """The spool in `folder`, of at most `limit_bytes`. Takes over what dead processes left beside it."""

    def __init__(self, root: Path, *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self.folder, self._lock = _claim(root)
        _adopt(root, self.folder)
        self._ends = {number: _path(self.folder, number).stat().st_size for number in _segments(self.folder)}
        self._next = _next_number(self.folder)
        self._at = max(_read_bookmark(self.folder), Position(min(self._ends, default=0), 0))
        self._file: int | None = None
        self._guard = threading.Lock()
        self._drop_drained()

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, those of drained records in a segment still in use included."""
        return sum(end for _, end in self._segment_ends())

    @property
    def empty(self) -> bool:
        """Whether everything written has been drained."""
        return all(Position(number, end) <= self._at for number, end in self._segment_ends())

    def write(self, frames: Sequence[bytes]) -> None:
        """Append `frames` and wait until the disk has them. Raises SpoolFull, or OSError: then none of them counts."""
        block = b"".join(frames)
        if self.size_bytes + len(block) > self.limit_bytes:
            raise SpoolFull(f"the spool holds {self.size_bytes} of {self.limit_bytes} bytes")
        number, file = self._writable()
        try:
            _write_all(file, block)
            os.fdatasync(file)
        except OSError:
            # After a failed fsync nobody knows what the page cache holds: this segment gets nothing more.
            self._abandon(number, file)
            raise
        with self._guard:
            self._ends[number] += len(block)
        if self._ends[number] >= self._segment_bytes:
            self._roll()

    def read(self) -> tuple[list[Frame], Position]:
        """The oldest records not yet drained, at most 1 MiB, and the position behind them; [] at the end."""
        for number, end in self._segment_ends():
            if (start := max(Position(number, 0), self._at)).segment != number:
                continue
            chunk = _read_chunk(_path(self.folder, number), start.offset, min(end - start.offset, CHUNK_BYTES))
            frames = list(read_frames(chunk))
            if frames:
                return frames, Position(number, start.offset + frames[-1].end)
            if chunk:
                self._pass_damaged(number, end, chunk)
        return [], self._at

    def drained(self, position: Position) -> None:
        """Everything before `position` is delivered: it is not read again, and its segments are deleted."""
        self._at = position
        _write_bookmark(self.folder, position)
        self._drop_drained()

    def set_aside(self, frame: Frame) -> None:
        """Keep a record that can never be delivered, for the operator, in the file `refused`."""
        with (self.folder / "refused").open("ab") as refused:
            refused.write(to_frame(frame.key, frame.value))

    def close(self) -> None:
        """Let another process have the folder."""
        self._roll()
        os.close(self._lock)

    def _segment_ends(self) -> list[tuple[int, int]]:
        with self._guard:
            return sorted(self._ends.items())

    def _pass_damaged(self, number: int, end: int, rest: bytes) -> None:
        if is_torn_tail(rest):
            log.info("the spool's last record was not written to its end", extra={"segment": number})
        else:
            log.error("a damaged record in the spool: the rest of its segment is kept", extra={"segment": number})
            _path(self.folder, number).with_suffix(".damaged").write_bytes(rest)
        self.drained(Position(number, end))

    def _writable(self) -> tuple[int, int]:
        if self._file is None:
            file = os.open(_path(self.folder, self._next), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
            _sync_folder(self.folder)
            with self._guard:
                self._file, self._next = file, self._next + 1
                self._ends[self._next - 1] = 0
        return self._next - 1, self._file

    def _abandon(self, number: int, file: int) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(file, self._ends[number])
        self._roll()
        if not self._ends[number]:
            _path(self.folder, number).unlink(missing_ok=True)
            with self._guard:
                del self._ends[number]

    def _roll(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _drop_drained(self) -> None:
        with self._guard:
            in_use = self._next - 1 if self._file is not None else None
            gone = [n for n, end in self._ends.items() if n != in_use and Position(n, end) <= self._at]
            for number in gone:
                del self._ends[number]
        for number in gone:
            _path(self.folder, number).unlink(missing_ok=True)


def _claim(root: Path) -> tuple[Path, int]:
    """The first folder root/0, root/1, ... that no living process holds, and its lock."""
    number = 0
    while True:
        lock = _lock(root / str(number))
        if lock is not None:
            return root / str(number), lock
        number += 1


def _lock(folder: Path) -> int | None:
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _adopt(root: Path, folder: Path) -> None:
    """Move the segments of dead processes behind our own; what they had drained of them is drained again."""
    for other in sorted(root.iterdir()):
        if other == folder or not other.is_dir() or (lock := _lock(other)) is None:
            continue
        for number, orphan in enumerate(_segments(other), start=_next_number(folder)):
            _path(other, orphan).rename(_path(folder, number))
        (other / BOOKMARK).unlink(missing_ok=True)
        _sync_folder(folder)
        os.close(lock)


def _segments(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.spool"))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:016d}.spool"


def _next_number(folder: Path) -> int:
    """A number that no segment has had since the bookmark was set: what lies before the bookmark is not read."""
    return max(_read_bookmark(folder).segment, *_segments(folder), 0) + 1


def _read_bookmark(folder: Path) -> Position:
    try:
        at = json.loads((folder / BOOKMARK).read_text(encoding="utf-8"))
        return Position(int(at["segment"]), int(at["offset"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Position(0, 0)


def _read_chunk(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as segment:
        segment.seek(offset)
        return segment.read(max(length, 0))


def _write_bookmark(folder: Path, position: Position) -> None:
    fresh = folder / f"{BOOKMARK}.new"
    fresh.write_text(json.dumps({"segment": position.segment, "offset": position.offset}), encoding="utf-8")
    fresh.replace(folder / BOOKMARK)


def _write_all(file: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
