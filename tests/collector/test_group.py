"""The group writer: whoever waits is told."""

import asyncio
from pathlib import Path

import pytest

from collector.group import GroupWriter
from collector.spool import Spool


def test_who_writes_behind_the_close_is_told(tmp_path: Path) -> None:
    async def write() -> None:
        writer = GroupWriter(Spool(tmp_path, limit_bytes=1_000))
        writer.close()
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.wait_for(writer.append([b"late"]), 5)

    asyncio.run(write())
