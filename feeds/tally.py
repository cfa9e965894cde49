"""What became of every line of an import: lines = pageviews + skipped + damaged."""

from collections import Counter
from dataclasses import dataclass, field

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from contract.message import to_event_time
from feeds.pages import Skip

SHOWN_FAULTS = 5


@dataclass
class Tally:
    """Counts of one import. Times are ms since the epoch; `faults` are the first damaged lines: place and reason."""

    files: int = 0
    lines: int = 0
    pageviews: int = 0
    visitors: int = 0
    sessions: int = 0
    robots: int = 0
    damaged: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    site: str | None = None
    site_derived: bool = False
    first_ms: int | None = None
    last_ms: int | None = None
    heartbeat_ms: int | None = None
    windows_open: bool = False
    acknowledged: int = 0
    seconds: float = 0.0

    def damage(self, place: str, reason: str) -> None:
        """Count a damaged line and keep where it is, and why, of the first few."""
        self.damaged += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(f"{place}: {reason}")

    def to_json(self) -> dict[str, object]:
        """For --json; reasons that did not occur are 0."""
        return {
            **{name: getattr(self, name) for name in PLAIN},
            "skipped": {reason.name.lower(): self.skipped[reason] for reason in Skip},
            **{name: _spell(getattr(self, f"{name}_ms")) for name in ("first", "last", "heartbeat")},
        }


PLAIN = (
    "files", "lines", "pageviews", "visitors", "sessions", "robots", "damaged", "faults", "unread",
    "site", "site_derived", "windows_open", "acknowledged", "seconds",
)  # fmt: skip


def _spell(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else to_event_time(epoch_ms)


def to_screen(tally: Tally, *, topic: str) -> Group:
    """The counts as a table, with what the reader must know below it."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("lines")
    table.add_column(f"{tally.lines:,}", justify="right")
    table.add_row("pageviews", f"{tally.pageviews:,}", style="bold")
    for reason in Skip:
        if tally.skipped[reason]:
            table.add_row(f"  {reason.value}", f"{tally.skipped[reason]:,}", style="dim")
    table.add_row("  damaged", f"{tally.damaged:,}", style="yellow" if tally.damaged else "dim", end_section=True)
    for label, number in (("visitors", tally.visitors), ("sessions", tally.sessions), ("by robots", tally.robots)):
        table.add_row(label, f"{number:,}")
    return Group(table, *(Text(line) for line in _notes(tally, topic)))


def _notes(tally: Tally, topic: str) -> list[str]:
    notes = [f"damaged: {fault}" for fault in tally.faults]
    if tally.damaged > len(tally.faults):
        notes.append(f"damaged: and {tally.damaged - len(tally.faults):,} more")
    notes += [f"not read to the end: {file}" for file in tally.unread]
    if tally.site_derived:
        notes.append(f"site: {tally.site}, which most referrers name; --site sets another")
    if tally.pageviews:
        notes.append(
            f"sent: {tally.acknowledged:,} messages to {topic}, all acknowledged; "
            f"event time {_spell(tally.first_ms)} to {_spell(tally.last_ms)} UTC; {tally.seconds:.1f} s"
        )
    if tally.windows_open:
        notes.append(
            "the last windows stay open: the log ends less than an hour ago, and no message may be ahead of the "
            "clock; import it again later, or let later pageviews close them"
        )
    return notes
