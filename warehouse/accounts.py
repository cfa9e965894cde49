"""The accounts of a period: what was accepted, and where each pageview is now."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from warehouse.records import Fate, History


@dataclass(frozen=True)
class Unmatched:
    """One archived copy of a pageview that no session holds. `timestamp_ms`: event time; `day`: its UTC day."""

    event_id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    day: str


@dataclass
class Day:
    """One UTC day of event time; rejected messages count on the day of their Kafka timestamp."""

    accepted: int = 0
    in_sessions: int = 0
    rejected: int = 0
    late: int = 0
    open: int = 0
    lost: int = 0
    duplicates: int = 0

    def add(self, other: "Day") -> None:
        """Count `other` in."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True)
class Coverage:
    """What the archive holds of one Kafka topic.

    unread: messages behind the archive's end; absent: places before it that hold no heartbeat and are in no table.
    """

    topic: str
    messages: int
    archived: int
    heartbeats: int
    unread: int
    absent: tuple[str, ...] = ()


@dataclass
class Accounts:
    """Everything that reconcile found. `holds` is the verdict."""

    days: dict[str, Day] = field(default_factory=lambda: defaultdict(Day))
    sessions_rows: int = 0
    pageviews_in_sessions: int = 0
    other_events: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    topics: tuple[Coverage, ...] = ()

    @property
    def total(self) -> Day:
        """The sum of all days, with the messages that the archive has not reached yet as open."""
        total = Day()
        for day in self.days.values():
            total.add(day)
        unread = sum(topic.unread for topic in self.topics)
        total.add(Day(accepted=unread, open=unread))
        return total

    @property
    def balanced(self) -> bool:
        """accepted = pageviews in the sessions table + rejected + late + open."""
        total = self.total
        return total.accepted == self.pageviews_in_sessions + total.rejected + total.late + total.open

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, nothing is there twice, and the sum is right."""
        absent = any(topic.absent for topic in self.topics)
        return self.balanced and not (self.missing or self.twice or self.strangers or absent)

    def to_json(self) -> dict[str, Any]:
        """The accounts for machines; the same words as the table's."""
        total = self.total
        return {
            "holds": self.holds,
            "accepted": total.accepted,
            "pageviews_in_sessions": self.pageviews_in_sessions,
            "rejected": total.rejected,
            "late": total.late,
            "open": total.open,
            "sessions_rows": self.sessions_rows,
            "duplicates": total.duplicates,
            "other_events": self.other_events,
            "rejected_by_reason": dict(self.rejected_by_reason),
            "missing": list(self.missing),
            "twice": list(self.twice),
            "strangers": list(self.strangers),
            "days": {day: vars(counts) for day, counts in sorted(self.days.items())},
            "topics": [vars(topic) | {"absent": list(topic.absent)} for topic in self.topics],
        }


def judge(unmatched: Iterable[Unmatched], history: History) -> dict[str, tuple[str, Fate]]:
    """eventId -> (day, fate) of the pageviews that no session holds; of several copies the worst fate counts."""
    order = (Fate.LATE, Fate.OPEN, Fate.LOST)
    fates: dict[str, tuple[str, Fate]] = {}
    for copy in unmatched:
        fate = history.fate(copy.topic, copy.partition, copy.offset, copy.timestamp_ms)
        day, worst = fates.get(copy.event_id, (copy.day, Fate.LATE))
        fates[copy.event_id] = min(day, copy.day), max(worst, fate, key=order.index)
    return fates


def enter(accounts: Accounts, fates: Mapping[str, tuple[str, Fate]]) -> None:
    """Enter the judged pageviews into the accounts' days and its list of missing ones."""
    for (day, fate), number in Counter(fates.values()).items():
        accounts.days[day].add(Day(**{fate.value: number}))
    accounts.missing = tuple(sorted(event_id for event_id, (_, fate) in fates.items() if fate is Fate.LOST))
