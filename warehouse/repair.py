"""`webevents reconcile --repair`: late pageviews are appended to sessions as numbered corrections.

The one step that has an effect is the creation of a correction's object, and it is the lock: two repairs that saw the
same state want the same number, one of them hears that it is taken, and starts over on what it then sees. A process
killed before that step has done nothing; one killed after it has left an object that the next run takes into account.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from google.cloud.storage import Bucket

from contract.failures import TransientError
from contract.names import CORRECTIONS, Kind, parse_object_name
from warehouse import corrections
from warehouse.accounts import Unmatched, judge
from warehouse.records import Fate, History, read_records
from warehouse.tables import BEGIN, END, Tables

MARGIN = timedelta(days=1)
"""Sessions are looked at so far beyond the period: a window of up to a day may lie across its ends."""
ROUNDS = 10
PAGEVIEWS_PER_CORRECTION = 20_000
"""0.8 MB of eventIds in a question, of 10 MB that BigQuery allows; and an object that is sent in one request."""


@dataclass(frozen=True)
class Correction:
    """A correction of this run. `object` is its gs:// address."""

    number: int
    object: str
    rows: int
    pageviews: int


@dataclass
class Repair:
    """What a repair did and what it left.

    waiting: number -> pageviews of corrections that were created before and are not loaded yet. open, lost: pageviews
    of the period that were left as they are.
    """

    made: list[Correction] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    open: int = 0
    lost: int = 0

    def to_json(self) -> dict[str, Any]:
        """For machines, the same words."""
        made = {"pageviews": sum(each.pageviews for each in self.made), "rows": sum(each.rows for each in self.made)}
        return {**made, **asdict(self), "waiting": {str(number): held for number, held in self.waiting.items()}}

    def lines(self) -> Iterator[str]:
        """For people."""
        for each in self.made:
            yield f"repair: appended {each.pageviews:,} late pageviews in {each.rows:,} rows as {each.object}"
        if self.made:
            yield "  they count as late until that is loaded, a moment after its creation"
        for number, held in self.waiting.items():
            yield f"repair: correction {number} with {held:,} pageviews was there before and is not loaded yet"
        if not self.made:
            yield "repair: nothing to append"
        if self.open or self.lost:
            yield f"repair: left as they are: {self.open:,} open, {self.lost:,} missing; only late ones are appended"


class Late(NamedTuple):
    """A pageview that the watermark dropped, and the length of the windows of the query that dropped it."""

    window_s: int
    timestamp_ms: int
    event_id: str


def repair(tables: Tables, bucket: Bucket) -> Repair:
    """Append the late pageviews of the tables' period that neither sessions nor a correction holds."""
    done = Repair()
    for _ in range(ROUNDS):
        try:
            _append(tables, bucket, done)
        except corrections.TakenError:
            continue
        return done
    raise TransientError(f"other repairs took {ROUNDS} numbers before this one; run it again when they have ended")


def _append(tables: Tables, bucket: Bucket, done: Repair) -> None:
    """One try. The order of reading matters: which are loaded, then objects, then what sessions lacks.

    A correction that is created after its object was looked for has a number that this try wants too. One that is
    there is held by its object, or by the table that is asked last.
    """
    loaded, numbers = tables.corrections(), corrections.created(bucket)
    held = {number: set(corrections.event_ids(bucket, number)) for number in sorted(numbers - loaded)}
    made_here = {each.number for each in done.made}
    done.waiting = {number: len(ids) for number, ids in held.items() if number not in made_here}
    around = replace(tables, first_day=_earlier(tables.first_day), last_day=_later(tables.last_day))
    late, left = find_late(around, bucket, first_day=tables.first_day, last_day=tables.last_day, held=held.values())
    done.open, done.lost = left[Fate.OPEN], left[Fate.LOST]
    for number, (window_s, event_ids) in enumerate(_chunks(late), max(numbers | loaded, default=0) + 1):
        done.made.append(_create(around, bucket, number, window_s, event_ids))


def find_late(
    tables: Tables, bucket: Bucket, *, first_day: date, last_day: date, held: Collection[set[str]]
) -> tuple[list[Late], Counter[Fate]]:
    """The late pageviews of these days that are not `held`, and how many have another fate.

    Only the late ones are kept in memory.
    """
    late: list[Late] = []
    left: Counter[Fate] = Counter()
    oldest = tables.oldest_unmatched()
    if oldest is None:
        return late, left
    history = History(read_records(bucket, since=oldest))
    # Of a pageview sent twice, one copy may be late and the other in a row that is still to come.
    if waiting := not_loaded(bucket, tables):
        raise TransientError(
            f"{len(waiting)} objects of sessions are not loaded yet, {waiting[0]} the first: which pageviews are late "
            "shows afterwards; run it again then"
        )
    for copies in tables.unmatched_by_event():
        ((event_id, (day, fate)),) = judge(copies, history).items()
        if not first_day.isoformat() <= day <= last_day.isoformat() or any(event_id in ids for ids in held):
            continue
        if fate is Fate.LATE:
            late.append(_to_late(copies, history))
        else:
            left[fate] += 1
    return late, left


def not_loaded(bucket: Bucket, tables: Tables) -> list[str]:
    """The stream's objects of sessions whose rows are not in the table, by name."""
    named = [parse_object_name(blob.name) for blob in bucket.list_blobs(prefix=f"{Kind.SESSIONS.value}/v1/")]
    batches = [batch for batch in named if batch is not None and batch.query_id != CORRECTIONS]
    loaded = tables.batch_keys() if batches else frozenset()
    return [batch.name for batch in batches if batch.batch_key not in loaded]


def _to_late(copies: Iterable[Unmatched], history: History) -> Late:
    """Where queries of several window lengths dropped it, the newest one's counts."""
    first = min(copies, key=lambda copy: (copy.timestamp_ms, copy.topic, copy.partition, copy.offset))
    reads = history.reads(first.topic, first.partition, first.offset)
    newest = max(reads, key=lambda record: (record.late_watermark_ms, record.query_id))
    return Late(newest.window_s, first.timestamp_ms, first.event_id)


def _chunks(late: Iterable[Late]) -> Iterator[tuple[int, list[str]]]:
    """(window_s, eventIds) of each correction to make, the oldest pageviews first."""
    for window_s, group in groupby(sorted(late), key=lambda each: each.window_s):
        event_ids = [each.event_id for each in group]
        for start in range(0, len(event_ids), PAGEVIEWS_PER_CORRECTION):
            yield window_s, event_ids[start : start + PAGEVIEWS_PER_CORRECTION]


def _create(tables: Tables, bucket: Bucket, number: int, window_s: int, event_ids: list[str]) -> Correction:
    target = corrections.correction(number)
    written: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for row in tables.rows(event_ids, window_s=window_s, correction=number, batch_key=target.batch_key):
            written.update(rows=1, pageviews=row.Pageviews)
            yield dict(row)

    corrections.create(bucket, number, rows())
    return Correction(number, f"gs://{bucket.name}/{target.name}", written["rows"], written["pageviews"])


def _earlier(day: date) -> date:
    return day - MARGIN if day > BEGIN else day


def _later(day: date) -> date:
    return day + MARGIN if day < END else day
