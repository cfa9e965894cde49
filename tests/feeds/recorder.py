"""A sender that keeps what it is given, in the partitions that feeds.produce.Sender would choose."""

import json
from typing import Any


class Recorder:
    """Stands for a Sender where the test is about what is sent; test_produce.py has the real one."""

    def __init__(self, partitions: int = 3) -> None:
        self.messages: list[tuple[bytes | None, bytes]] = []
        self.heartbeats: list[int] = []
        self.partitions = list(range(partitions))
        self.acknowledged = 0

    def send(self, key: bytes | None, value: bytes) -> None:
        self.messages.append((key, value))

    def send_heartbeats(self, epoch_ms: int) -> None:
        self.heartbeats += [epoch_ms for _ in self.partitions]

    def finish(self) -> None:
        self.acknowledged = len(self.messages) + len(self.heartbeats)

    @property
    def pageviews(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value in self.messages]
