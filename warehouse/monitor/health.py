"""The words of the monitor: verdicts, figures, stages, bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

LOADS_A_DAY = 1_500
"""Load jobs that BigQuery takes for one table a day, failed ones included: https://cloud.google.com/bigquery/quotas"""


class Verdict(str, Enum):
    """How a stage is, from best to worst."""

    OK = "ok"
    BEHIND = "behind"
    """It works, and what waits for it has waited for longer than its bound."""
    SILENT = "silent"
    """Nothing came from it for longer than its bound."""
    FAILING = "failing"
    """It says so itself, or it cannot be asked."""

    @property
    def rank(self) -> int:
        """0 for ok; the worst has the highest."""
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Figure:
    """One number of a stage. `name` is its metric's last words: bytes and seconds say so at the end."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


@dataclass(frozen=True)
class Stage:
    """One stage as it was judged. `last_at`: seconds since the epoch of the last thing that came out of it."""

    name: str
    verdict: Verdict
    says: str
    anchor: str = ""
    last_at: float | None = None
    lag_s: float | None = None
    figures: Sequence[Figure] = ()

    def to_json(self) -> dict[str, Any]:
        """The stage for machines."""
        figures = [{"name": f.name, "value": f.value, **({"labels": dict(f.labels)} if f.labels else {})}
                   for f in self.figures]  # fmt: skip
        return {
            "stage": self.name, "verdict": self.verdict.value, "says": self.says, "runbook": self.runbook,
            "last_at": self.last_at, "lag_s": self.lag_s, "figures": figures,
        }  # fmt: skip

    @property
    def runbook(self) -> str:
        """Where the runbook says what to do; empty where nothing is to be done."""
        return f"docs/runbook.md#{self.anchor}" if self.anchor else ""


@dataclass(frozen=True)
class Bounds:
    """How long each may take, in seconds."""

    quiet_s: float
    """Nothing new in the topic. A collector puts a heartbeat there every minute."""
    lag_s: float
    """The oldest message that a query has not read, or has not published."""
    load_s: float
    """An object that is published and not loaded."""


@dataclass(frozen=True)
class Unread:
    """In the place of a reading that could not be had."""

    why: str


@dataclass(frozen=True)
class Status:
    """All stages at one moment, in the order of the pipeline."""

    at: float
    stages: Sequence[Stage]
    took_s: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether every stage is ok."""
        return all(stage.verdict is Verdict.OK for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """The status for machines."""
        return {"ok": self.holds, "at": self.at, "took_s": round(self.took_s, 3),
                "stages": [stage.to_json() for stage in self.stages]}  # fmt: skip
