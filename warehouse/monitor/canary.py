"""A canary: one event of its own that is followed through every stage. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from warehouse.monitor.health import Bounds, Figure, Stage, Verdict
from warehouse.monitor.judge import age, span

STAGES = ("collector", "topic", "streaming", "bucket, function", "warehouse")
"""In the order of the way. Through the last but one it is when a load job has begun."""
ANCHORS = {
    "collector": "the-collector-does-not-answer",
    "topic": "the-broker-does-not-answer",
    "streaming": "the-job-is-silent",
    "bucket, function": "the-function-is-silent",
    "warehouse": "a-load-job-fails",
}
COLLECTOR_S = 30.0
"""How long a collector may leave a canary unanswered, which is sent again at every look."""


@dataclass
class Canary:
    """One canary. `passed_at`: stage -> when it was through, by that stage's own clock."""

    event_id: str
    made_at: float
    passed_at: dict[str, float] = field(default_factory=dict)
    published_in: str = ""
    """The object that it was seen in, where that object is not loaded."""

    def passes(self, stage: str, at: float) -> None:
        """Note that it was through `stage` at that time, and so through all before."""
        for earlier in STAGES[: STAGES.index(stage) + 1]:
            self.passed_at.setdefault(earlier, at)

    def passed(self, stage: str) -> bool:
        """Whether it is through."""
        return stage in self.passed_at

    @property
    def waits_for(self) -> tuple[str, float] | None:
        """The stage that it has not come through, and since when; None when it has arrived."""
        since = self.made_at
        for stage in STAGES:
            if stage not in self.passed_at:
                return stage, since
            since = self.passed_at[stage]
        return None

    def latencies(self) -> dict[str, float]:
        """Stage -> seconds in it, for the stages that it is through."""
        times = [self.made_at, *(self.passed_at[stage] for stage in STAGES if stage in self.passed_at)]
        return {stage: max(0.0, times[i + 1] - times[i]) for i, stage in enumerate(STAGES[: len(times) - 1])}


@dataclass(frozen=True)
class Flock:
    """What is known of all canaries."""

    open: Sequence[Canary] = ()
    last: Canary | None = None
    """The newest that has arrived."""
    posted: int = 0
    arrived: int = 0
    warehouse_answers: bool = True


def bound_of(stage: str, bounds: Bounds) -> float:
    """How long a canary may be in that stage, in seconds."""
    return {
        "collector": COLLECTOR_S, "topic": bounds.quiet_s, "streaming": bounds.lag_s,
        "bucket, function": bounds.load_s, "warehouse": bounds.load_s,
    }[stage]  # fmt: skip


def first_silent(flock: Flock, bounds: Bounds, now: float) -> tuple[str, float] | None:
    """The first stage of the way in which a canary has been for longer than its bound, and since when."""
    overdue = []
    for canary in flock.open:
        waits = canary.waits_for
        if waits is None:
            continue
        stage, since = waits
        if stage == "bucket, function" and not flock.warehouse_answers:
            stage = "warehouse"  # whether the function works cannot be seen while nothing takes its loads
        if now - since > bound_of(stage, bounds):
            overdue.append((STAGES.index(stage), since, stage))
    if not overdue:
        return None
    _, since, stage = min(overdue)
    return stage, since


def judge_canary(flock: Flock, bounds: Bounds, now: float) -> Stage:
    """The whole way, by what happens to one event a minute."""
    silent = first_silent(flock, bounds, now)
    oldest = min((canary.made_at for canary in flock.open), default=None)
    figures = _figures(flock, silent)
    last_at = flock.last.passed_at[STAGES[-1]] if flock.last else None
    if silent is not None:
        stage, since = silent
        when = datetime.fromtimestamp(since, timezone.utc)
        says = f"SILENT: {stage}. A canary went in at {when:%H:%M:%S} UTC and did not come out for {span(now - since)}."
        return Stage("canary", Verdict.SILENT, says, ANCHORS[stage], last_at, age(oldest, now), figures)
    says = f"{flock.arrived:,} of {flock.posted:,} have arrived."
    if flock.last is not None:
        took = flock.last.passed_at[STAGES[-1]] - flock.last.made_at
        ways = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in flock.last.latencies().items())
        says += f" The last one took {span(took)}: {ways}."
    return Stage("canary", Verdict.OK, says, "", last_at, age(oldest, now), figures)


def _figures(flock: Flock, silent: tuple[str, float] | None) -> list[Figure]:
    waiting = [waits[0] for canary in flock.open if (waits := canary.waits_for)]
    figures = [Figure("canaries_posted", flock.posted), Figure("canaries_arrived", flock.arrived)]
    for stage in STAGES:
        label = {"at": stage}
        figures.append(Figure("canaries_waiting", waiting.count(stage), label, "Canaries in this stage."))
        silence = float(silent is not None and silent[0] == stage)
        figures.append(Figure("canary_silent", silence, label, "1 for the first stage that lets none through."))
    for stage, seconds in (flock.last.latencies() if flock.last else {}).items():
        figures.append(Figure("canary_latency_seconds", seconds, {"at": stage}, "Of the last one that arrived."))
    return figures
