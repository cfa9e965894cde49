"""The checker: the ledger against the tables, invariant by invariant. It knows nothing of how the events were made."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from contract.names import PAGEVIEW
from local.faults import LOUD_S, Fault
from local.ledger import Entry, Outcome
from local.outcome import Warehouse
from warehouse.accounts import Accounts
from warehouse.reconcile import accounting_line

LISTED = 5
DRAIN_S = 120.0
MEMORY_MB = 250.0
SEGMENT_BYTES = 8 * 1024 * 1024

ARCHIVED = "SELECT DISTINCT eventId FROM `{dataset}.events`"
PLACES_TWICE = """
SELECT CONCAT(kafkaTopic, '/', CAST(kafkaPartition AS STRING), '/', CAST(kafkaOffset AS STRING)) AS place
FROM (
  SELECT kafkaTopic, kafkaPartition, kafkaOffset FROM `{dataset}.events`
  UNION ALL
  SELECT kafkaTopic, kafkaPartition, kafkaOffset FROM `{dataset}.bad_events`
)
GROUP BY kafkaTopic, kafkaPartition, kafkaOffset HAVING COUNT(*) > 1 ORDER BY place
"""
ROWS = "SELECT * FROM `{dataset}.sessions`"

Row = Mapping[str, Any]
Hits = dict[tuple[str, str, int], list[list[Any]]]
"""(uiud, sessionId, start of the window in ms) -> [ms, eventId, page, title, referrer, landing] in order."""


@dataclass(frozen=True)
class Finding:
    """What is so of one invariant: `found` in figures, and examples where it does not hold."""

    invariant: str
    says: str
    holds: bool
    found: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """What the tables hold: all rows of sessions, the archive's eventIds, and places of the topic held twice."""

    rows: list[Row]
    archived: frozenset[str]
    places_twice: tuple[str, ...]


def read_tables(warehouse: Warehouse) -> Tables:
    """Everything that the checker looks at."""
    twice = (row.place for row in warehouse.ask(PLACES_TWICE))
    archived = frozenset(row.eventId for row in warehouse.ask(ARCHIVED))
    return Tables([dict(row) for row in warehouse.ask(ROWS)], archived, tuple(twice))


def check_events(entries: Collection[Entry], tables: Tables, window_ms: int) -> Iterator[Finding]:
    """I1, I2, I3, I5 and I6: the events themselves."""
    by_outcome: defaultdict[Outcome, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        by_outcome[entry.outcome][entry.event_id] = entry
    accepted, unknown = by_outcome[Outcome.OK], by_outcome[Outcome.UNKNOWN]
    in_sessions = Counter(event_id for row in tables.rows for event_id in row["eventIds"])
    lost = [
        event_id
        for event_id, entry in accepted.items()
        if event_id not in (in_sessions if _is_pageview(entry) else tables.archived)
    ]
    no_loss = _finding(
        "I1 no loss", "every event answered with 200 is in a table", lost, f"{len(accepted):,} accepted, lost"
    )
    yield replace(no_loss, holds=no_loss.holds and bool(accepted))
    twice = [event_id for event_id, number in in_sessions.items() if number > 1]
    yield _finding(
        "I2 no duplicate", "no eventId twice in sessions, no message twice in the archive",
        [*twice, *tables.places_twice], f"{len(in_sessions):,} pageviews, twice",
    )  # fmt: skip
    strangers = sorted((set(in_sessions) | tables.archived) - accepted.keys() - unknown.keys())
    yield _finding(
        "I3 no phantom", "no refused event and no stranger is in a table",
        strangers, f"{len(by_outcome[Outcome.REFUSED]):,} refused, in a table",
    )  # fmt: skip
    misplaced = [f"{row['uiud']} {row['window_start']}" for row in tables.rows if not _is_well_formed(row, window_ms)]
    misplaced += _repeated(tables.rows)
    yield _finding(
        "I5 grouping", "one row a visitor, session and window; its arrays ordered and within the window",
        misplaced, f"{len(tables.rows):,} rows, wrong",
    )  # fmt: skip
    wanted = to_hits(entry for entry in (accepted | unknown).values() if _counts(entry, in_sessions))
    yield _equality(_expected(wanted, window_ms), _merged(tables.rows))


def check_accounts(accounts: Accounts) -> Finding:
    """I4: the line that must balance, from the tables and the batch records alone."""
    whole = accounts.holds and not accounts.total.open and not accounts.total.late
    return Finding("I4 accounting", "it balances, and nothing is left open or late", whole, accounting_line(accounts))


def check_liveness(drained_s: float, longest_outage_s: float) -> Finding:
    """I7: how long after the last fault everything was in the tables."""
    limit_s = max(2 * longest_outage_s, DRAIN_S)
    found = f"drained {drained_s:.0f} s after the last fault, of {limit_s:.0f} s allowed"
    return Finding("I7 liveness", "it heals with no step by hand", drained_s <= limit_s, found)


def check_bounds(peak_mb: float, spooled_bytes: int) -> Finding:
    """I8: what the collector grew to, and what its drained spool still takes: at most the segment in use."""
    holds = peak_mb <= MEMORY_MB and spooled_bytes <= SEGMENT_BYTES
    found = f"collector's peak {peak_mb:.0f} MB of {MEMORY_MB:.0f}, {spooled_bytes:,} bytes of drained spool"
    return Finding("I8 bounded", "memory and disk do not grow", holds, found)


def check_signs(faults: Collection[Fault]) -> Finding:
    """I9: every fault was told by a log line."""
    silent = [
        f"{fault.kind} at {fault.at_s:.0f} s" for fault in faults if fault.loud_s is None or fault.loud_s > LOUD_S
    ]
    slowest_s = max((fault.loud_s or 0.0 for fault in faults), default=0.0)
    found = f"{len(faults)} faults, the slowest told after {slowest_s:.0f} s, silent"
    return _finding("I9 loud", f"each fault is in a log within {LOUD_S:.0f} s", silent, found)


def to_hits(entries: Iterable[Entry]) -> Iterator[tuple[str, str, list[Any]]]:
    """uiud, sessionId and hit of each pageview, as it was posted."""
    for entry in entries:
        event = entry.event
        yield event["uiud"], str(event["sessionId"]), [
            event["timestamp"], entry.event_id, event["pageUrl"], event["pageTitle"], event["referrer"],
            str(event["landingPage"]),
        ]  # fmt: skip


def digest(hits: Hits) -> str:
    """sha256 of the canonical text: equal sessions, equal digest."""
    lines = sorted(json.dumps([*key, group], ensure_ascii=False) for key, group in hits.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _expected(hits: Iterable[tuple[str, str, list[Any]]], window_ms: int) -> Hits:
    grouped: Hits = defaultdict(list)
    for uiud, session, hit in hits:
        grouped[uiud, session, hit[0] // window_ms * window_ms].append(hit)
    return {key: sorted(group) for key, group in grouped.items()}


def _merged(rows: Iterable[Row]) -> Hits:
    """The rows, those of a correction merged into the stream's."""
    grouped: Hits = defaultdict(list)
    for row in rows:
        key = (row["uiud"], row["sessionId"], _ms(row["window_start"]))
        columns = ("eventIds", "Pages", "pageTitles", "referrer", "LandingPageCode")
        times = [_ms(at) for at in row["sessionTimestamps"]]
        # Where an array is too short, the hits beyond it are missing here: the row differs.
        grouped[key] += [list(hit) for hit in zip(times, *(row[name] for name in columns), strict=False)]
    return {key: sorted(group) for key, group in grouped.items()}


def _equality(wanted: Hits, found: Hits) -> Finding:
    differ = [" ".join(map(str, key)) for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    text = f"sha256 {digest(found)[:16]} of the table, {digest(wanted)[:16]} of the ledger, sessions that differ"
    return _finding("I6 equality", "the table is what an oracle makes of the ledger", sorted(differ), text)


def _is_well_formed(row: Row, window_ms: int) -> bool:
    start_ms, times = _ms(row["window_start"]), [_ms(at) for at in row["sessionTimestamps"]]
    columns = ("eventIds", "Pages", "pageTitles", "referrer", "LandingPageCode")
    return (
        {len(row[name]) for name in columns} == {len(times)} == {row["Pageviews"]}
        and start_ms % window_ms == 0
        and _ms(row["window_end"]) == start_ms + window_ms
        and all(start_ms <= at < start_ms + window_ms for at in times)
        and list(zip(times, row["eventIds"], strict=True)) == sorted(zip(times, row["eventIds"], strict=True))
    )


def _repeated(rows: Iterable[Row]) -> list[str]:
    keys = Counter((row["uiud"], row["sessionId"], row["window_start"], row["correction"]) for row in rows)
    return [" ".join(map(str, key)) for key, number in keys.items() if number > 1]


def _counts(entry: Entry, in_sessions: Collection[str]) -> bool:
    """Whether the oracle takes it in: an event that was never answered only where it arrived."""
    return _is_pageview(entry) and (entry.outcome is Outcome.OK or entry.event_id in in_sessions)


def _is_pageview(entry: Entry) -> bool:
    return bool(entry.event["eventType"] == PAGEVIEW)


def _ms(at: Any) -> int:
    return int(round(at.timestamp() * 1000))


def _finding(invariant: str, says: str, faulty: Collection[str], found: str) -> Finding:
    return Finding(invariant, says, not faulty, f"{found} {len(faulty):,}", tuple(faulty)[:LISTED])
