"""The ledger: what visitors sent and what they were answered, on disk before anything else knows it."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Outcome(str, Enum):
    """What a sender knows of an event in the end."""

    OK = "ok"
    """Answered with 200: it must be in a table."""
    REFUSED = "refused"
    """Answered with 4xx: it must be in none."""
    UNKNOWN = "unknown"
    """Never answered, or with 5xx: it may be there or not, once at most."""


@dataclass(frozen=True)
class Entry:
    """One event: the fields that were posted, its id at the collector, and how it ended."""

    event_id: str
    event: Event
    outcome: Outcome


class Ledger:
    """A file of JSON lines, {"id", "event"} before the first sending and {"id", "outcome"} after the last answer.

    Each line is with the system before the call returns, so that it outlives the process. Safe for many threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[Outcome] = Counter()
        self.begun = 0
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def begin(self, event_id: str, event: Event) -> None:
        """Enter an event that is about to be sent."""
        with self._lock:
            self.begun += 1
            self._write({"id": event_id, "event": event})

    def end(self, event_id: str, outcome: Outcome) -> None:
        """Enter how it ended."""
        with self._lock:
            self.counts[outcome] += 1
            self._write({"id": event_id, "outcome": outcome.value})

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def read_ledger(path: Path) -> Iterator[Entry]:
    """The ledger's entries in the order of their first sending. One without an end is unknown."""
    events: dict[str, Event] = {}
    outcomes: dict[str, Outcome] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # a crash cut it: its event was not sent yet, or has no answer
            fields = json.loads(line)
            if "event" in fields:
                events[fields["id"]] = fields["event"]
            else:
                outcomes[fields["id"]] = Outcome(fields["outcome"])
    for event_id, event in events.items():
        yield Entry(event_id, event, outcomes.get(event_id, Outcome.UNKNOWN))
