"""The spool: order, bound, and what a crash leaves."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collector.frames import Frame, read_frames, to_frame
from collector.spool import Spool, SpoolFull

LIMIT = 10_000_000


def frames(*values: str) -> list[bytes]:
    return [to_frame(b"visitor", value.encode()) for value in values]


def drain(spool: Spool) -> list[str]:
    drained: list[str] = []
    while True:
        read, position = spool.read()
        if not read:
            return drained
        drained += [frame.value.decode() for frame in read]
        spool.drained(position)


def open_spool(root: Path, *, limit_bytes: int = LIMIT, segment_bytes: int = 200) -> Spool:
    return Spool(root, limit_bytes=limit_bytes, segment_bytes=segment_bytes)


def test_records_come_back_in_order_over_many_segments(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    written = [f"record {number}" for number in range(100)]
    for value in written:
        spool.write(frames(value))
    assert len(list(spool.folder.glob("*.spool"))) > 5
    assert drain(spool) == written
    assert spool.empty
    assert spool.size_bytes < 200


def test_what_is_written_while_it_drains_comes_after(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.write(frames("a", "b"))
    read, position = spool.read()
    spool.write(frames("c"))
    spool.drained(position)
    assert [frame.value for frame in read] == [b"a", b"b"]
    assert not spool.empty
    assert drain(spool) == ["c"]
    spool.write(frames("d"))
    assert drain(spool) == ["d"]


def test_a_restart_goes_on_behind_the_bookmark(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for value in "abcdefghijkl":
        spool.write(frames(value))
    read, position = spool.read()
    spool.drained(position)
    spool.close()
    assert drain(open_spool(tmp_path)) == list("abcdefghijkl")[len(read) :]


def test_a_restart_of_a_drained_spool_loses_nothing_of_what_is_written_next(tmp_path: Path) -> None:
    for value in ("first", "second", "third"):
        spool = open_spool(tmp_path, segment_bytes=1)
        spool.write(frames(value))
        assert drain(spool) == [value]
        spool.close()


def test_a_full_spool_refuses_and_takes_again_when_drained(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limit_bytes=300, segment_bytes=100)
    with pytest.raises(SpoolFull):
        for _ in range(100):
            spool.write(frames("x" * 50))
    assert spool.size_bytes <= 300
    assert len(drain(spool)) == 300 // len(frames("x" * 50)[0])
    spool.write(frames("y"))
    assert drain(spool) == ["y"]


@pytest.mark.parametrize("cut", range(1, 20), ids=lambda cut: f"{cut} bytes are missing")
def test_a_torn_tail_is_passed_and_all_before_it_comes_back(tmp_path: Path, cut: int) -> None:
    spool = open_spool(tmp_path, segment_bytes=10_000)
    spool.write(frames("whole", "torn"))
    spool.close()
    segment = next(spool.folder.glob("*.spool"))
    os.truncate(segment, segment.stat().st_size - cut)
    again = open_spool(tmp_path)
    again.write(frames("after"))
    assert drain(again) == ["whole", "after"]
    assert not list(again.folder.glob("*.damaged"))


def test_a_damaged_record_is_kept_for_the_operator(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=10_000)
    spool.write(frames("whole", "damaged", "behind"))
    spool.close()
    segment = next(spool.folder.glob("*.spool"))
    segment.write_bytes(segment.read_bytes().replace(b"damaged", b"dAmaged"))
    again = open_spool(tmp_path)
    again.write(frames("after"))
    assert drain(again) == ["whole", "after"]
    assert b"behind" in next(again.folder.glob("*.damaged")).read_bytes()


def test_a_hole_of_zeros_is_no_record() -> None:
    assert list(read_frames(bytes(100))) == []
    assert list(read_frames(to_frame(b"k", b"v") + bytes(100))) == [Frame(b"k", b"v", 12)]


def test_a_second_process_has_its_own_folder_and_takes_over_a_dead_ones_records(tmp_path: Path) -> None:
    first, second = open_spool(tmp_path), open_spool(tmp_path)
    assert first.folder != second.folder
    first.write(frames("of the first"))
    second.write(frames("of the second"))
    first.close()
    second.close()
    alone = open_spool(tmp_path)
    assert sorted(drain(alone)) == ["of the first", "of the second"]


def test_a_disk_that_fails_leaves_the_spool_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    spool.write(frames("before"))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                spool.write(frames("lost"))
    spool.write(frames("after"))
    spool.close()
    again = open_spool(tmp_path)
    assert drain(again) == ["before", "after"]
    assert len(list(again.folder.glob("*.spool"))) <= 1


def test_writing_and_draining_in_two_threads_keeps_all(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    written = [str(number) for number in range(300)]
    writer = threading.Thread(target=lambda: [spool.write(frames(value)) for value in written])
    drained: list[str] = []
    writer.start()
    while writer.is_alive():
        drained += drain(spool)
    assert drained + drain(spool) == written


WRITER = """
import sys
from pathlib import Path
from collector.frames import to_frame
from collector.spool import Spool
spool = Spool(Path(sys.argv[1]), limit_bytes=10_000_000, segment_bytes=5_000)
for number in range(1_000_000):
    spool.write([to_frame(b"visitor", str(number).encode())])
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        confirmed = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        confirmed += process.stdout.readlines()
        process.wait()
        whole = [line.strip() for line in confirmed if line.endswith("\n")]
        spool = open_spool(tmp_path)
        drained = drain(spool)
        spool.close()
        assert drained[: len(whole)] == whole
        assert len(drained) <= len(whole) + 1
