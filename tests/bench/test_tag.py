"""The bench of the tag: a peer's package is the pinned one, and a page's own milliseconds are no tag's."""

import base64
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from bench.tag.peers import TAGS, script_of
from bench.tag.run import Load, figures


def packed(text: bytes) -> bytes:
    """A tarball as npm's, with plausible.js in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/plausible.js")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return content.getvalue()


def test_a_package_is_the_pinned_one_or_refused(tmp_path: Path) -> None:
    kept = tmp_path / "plausible-analytics-tracker-0.4.6.tgz"
    kept.write_bytes(packed(b"let it = 1"))
    with pytest.raises(RuntimeError, match=r"is not @plausible-analytics/tracker 0\.4\.6: .* delete it and run again"):
        script_of(TAGS["plausible"], tmp_path)
    digest = base64.b64encode(hashlib.sha512(kept.read_bytes()).digest()).decode()
    assert script_of(replace(TAGS["plausible"], integrity=f"sha512-{digest}"), tmp_path) == b"let it = 1"


def test_ours_is_the_tag_that_the_collector_serves(tmp_path: Path) -> None:
    assert b"api/webeventspub" in script_of(TAGS["ours"], tmp_path)


def test_milliseconds_are_those_beyond_a_page_without_a_tag() -> None:
    bare = [Load(10.0, 1.0, 0, 0), Load(12.0, 1.0, 0, 0), Load(30.0, 2.0, 0, 0)]
    loads = [Load(15.0, 3.0, 1, 400), Load(16.0, 4.0, 1, 500), Load(99.0, 9.0, 2, 600)]
    found = figures(b"x" * 1000, loads, bare)
    assert (found["task_ms"], found["script_ms"], found["requests"], found["sent_bytes"]) == (4.0, 3.0, 1, 500)
    assert found["bytes"] == 1000 > found["gzip"]
