"""Lines of plain and packed files, whole and cut."""

import gzip
from pathlib import Path

import pytest

from feeds.combined_log import MAX_LINE_BYTES
from feeds.log_files import FileCutShort, read_lines, size_bytes

LINES = [f"line {number}".encode() for number in range(5000)]


def packed(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in LINES)))
    return path


def read(path: Path) -> tuple[list[bytes], str | None]:
    """The lines, and why there are no more of them."""
    lines: list[bytes] = []
    try:
        for line in read_lines(str(path), lambda step: None):
            lines.append(line)  # noqa: PERF402
    except FileCutShort as error:
        return lines, str(error)
    return lines, None


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    assert read(packed(tmp_path / "access.log")) == (LINES, None)


def test_files_joined_by_cat_are_read_to_the_end(tmp_path: Path) -> None:
    joined = tmp_path / "two.gz"
    joined.write_bytes(packed(tmp_path / "one.gz").read_bytes() * 2)
    assert read(joined) == (LINES * 2, None)


def test_a_gzip_file_cut_short_gives_its_whole_lines_first(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.gz")
    path.write_bytes(path.read_bytes()[:-3000])
    lines, why = read(path)
    assert 0 < len(lines) < len(LINES)
    assert lines == LINES[: len(lines)]
    assert why == "the gzip file is cut short"


def test_a_gzip_file_with_a_flipped_byte_gives_what_can_be_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.gz")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    assert (read(path)[1] or "").startswith("the gzip file is damaged")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert read(tmp_path / "none.log") == ([], "cannot be read: No such file or directory")


def test_a_folder_says_so(tmp_path: Path) -> None:
    assert read(tmp_path) == ([], "cannot be read: Is a directory")


def test_the_last_line_needs_no_end_and_windows_line_ends_are_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a\r\n\nb")
    assert read(path) == ([b"a", b"", b"b"], None)


@pytest.mark.parametrize(
    ("length", "kept"), [(MAX_LINE_BYTES, MAX_LINE_BYTES), (MAX_LINE_BYTES * 20, MAX_LINE_BYTES + 2)]
)
def test_a_line_without_end_costs_bounded_memory_and_the_next_one_is_whole(
    tmp_path: Path, length: int, kept: int
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * length + b"\nnext\n")
    assert [len(line) for line in read(path)[0]] == [kept, 4]


def test_progress_is_told_the_bytes_on_the_disk(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.gz")
    steps: list[int] = []
    list(read_lines(str(path), steps.append))
    assert sum(steps) == path.stat().st_size == size_bytes([str(path)])


def test_no_total_is_known_of_standard_input_or_a_missing_file(tmp_path: Path) -> None:
    assert size_bytes(["-"]) is None
    assert size_bytes([str(tmp_path / "none")]) is None
