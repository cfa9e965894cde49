"""A plan of messages: what is sent, and what must become of it. Its ledger, its sums, its sending."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TextIO

from contract.reasons import Reason
from feeds.produce import Sender

UNSENT_MS = 30_000
"""How far apart, on the plan's clock, messages may lie that are on their way at one time. With the disorder of the
plan itself it stays below the watermark's delay, so a stream that reads meanwhile makes nothing late."""


class Fate(str, Enum):
    """What must become of a message."""

    SESSION = "session"
    DUPLICATE = "duplicate"
    """A retry: once more in the archive, not once more in a session."""
    REJECTED = "rejected"
    LATE = "late"
    CUSTOM = "custom"
    """In the archive only."""
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One message. `due_ms` is its turn on the plan's clock; `event_id` is the one that the archive must have.

    `partition` counts through the topic's partitions; only heartbeats are bound to one.
    """

    phase: int
    due_ms: int
    key: bytes | None
    value: bytes | None
    fate: Fate
    event_id: str | None = None
    reason: Reason | None = None
    partition: int | None = None


def expect(plan: Iterable[Planned]) -> dict[str, int]:
    """The numbers that must come out: accepted = session + late + every reject reason.

    Keys: session, late, rejected (distinct pageviews and messages), duplicate, custom, heartbeat, messages,
    accepted, and rejected.<reason> for each reason.
    """
    fates: Counter[str] = Counter()
    for planned in plan:
        fates["messages"] += 1
        fates[planned.fate.value] += 1
        if planned.reason is not None:
            fates[f"rejected.{planned.reason.value}"] += 1
    names = [fate.value for fate in Fate] + [f"rejected.{reason.value}" for reason in Reason] + ["messages"]
    sums = {name: fates[name] for name in names}
    return {**sums, "accepted": sums["session"] + sums["late"] + sums["rejected"]}


def send(plan: Iterable[Planned], kafka_servers: str, topic: str) -> int:
    """Send messages in the plan's order; returns their number when every one is acknowledged.

    Sends what it is given: for a plan with late pageviews call it once a phase. Raises as feeds.produce.Sender.
    """
    sender = Sender(kafka_servers, topic)
    flushed_ms: int | None = None
    for planned in plan:
        if flushed_ms is None or planned.due_ms - flushed_ms >= UNSENT_MS:
            sender.finish()
            flushed_ms = planned.due_ms
        bound = None if planned.partition is None else sender.partitions[planned.partition % len(sender.partitions)]
        sender.send(planned.key, planned.value, partition=bound)
    sender.finish()
    return sender.acknowledged


def write_ledger(plan: Iterable[Planned], out: TextIO) -> None:
    """One JSON line a message, in order; bytes as base64."""
    for planned in plan:
        line = {**vars(planned), "key": _to_text(planned.key), "value": _to_text(planned.value)}
        out.write(json.dumps(line) + "\n")


def read_ledger(lines: Iterable[str]) -> Iterator[Planned]:
    """The plan that write_ledger wrote."""
    for line in lines:
        row = json.loads(line)
        reason = row["reason"] and Reason(row["reason"])
        yield Planned(
            **{**row, "key": _to_bytes(row["key"]), "value": _to_bytes(row["value"])}
            | {"fate": Fate(row["fate"]), "reason": reason}
        )


def _to_text(given: bytes | None) -> str | None:
    return None if given is None else base64.b64encode(given).decode("ascii")


def _to_bytes(given: str | None) -> bytes | None:
    return None if given is None else base64.b64decode(given)
