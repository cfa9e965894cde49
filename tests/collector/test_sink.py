"""The sink: what the spool holds goes to the broker, whatever the disk does meanwhile."""

import asyncio
import json
from pathlib import Path

import pytest

from collector.frames import to_frame
from collector.metrics import Metrics
from collector.producer import Producer
from collector.sink import Sink
from collector.spool import BOOKMARK, Spool
from tests.collector.parts import new_topic, pageview, read_topic


@pytest.mark.stack
def test_draining_goes_on_after_a_bookmark_that_could_not_be_written(kafka_servers: str, tmp_path: Path) -> None:
    topic, event = new_topic(kafka_servers), pageview()

    async def drain() -> None:
        spool = Spool(tmp_path, limit_bytes=10_000)
        spool.write([to_frame(b"visitor", json.dumps(event).encode())])
        (spool.folder / f"{BOOKMARK}.new").mkdir()  # as good as a full disk: nothing can be written there
        producer = Producer({"bootstrap.servers": kafka_servers}, topic)
        sink = Sink(producer, spool, Metrics(), ack_wait_s=1.0, now_ms=lambda: 0)
        sink.open()
        try:
            async with asyncio.timeout(15):
                while sink.spooling:
                    await asyncio.sleep(0.02)
        finally:
            await sink.close()

    asyncio.run(drain())
    assert [found.get("eventId") for found in read_topic(kafka_servers, topic)].count(event["eventId"]) == 1
