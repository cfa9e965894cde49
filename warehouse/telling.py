"""The story of one id for people: a block for each row of sessions, and tables of pageviews."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contract.names import batch_key, dead_letter_name
from warehouse.lineage import Load, Published
from warehouse.records import BatchRecord, Fate
from warehouse.story import EventStory, RowStory, Story, at_ms
from warehouse.traces import ArchivedEvent, Copy

FATES = {
    Fate.LATE: "late: read after the watermark had passed its window's end; webevents reconcile --repair appends it",
    Fate.OPEN: "open: its window is not closed yet, or no batch has read it yet",
    Fate.LOST: "lost: read in time, its window closed, and no row holds it: a fault, or a load still under way",
    None: "a custom event: it belongs into events, and into no session",
}
PARTITIONS_SHOWN = 20


def show(story: Story, console: Console) -> None:
    """Print the story."""
    for number, told in enumerate(story.rows, start=1):
        console.print(Text(f"Row {number} of {story.found_rows:,} in sessions", style="bold"))
        _facts(console, _row_facts(told))
        _pageviews(console, story, told)
    _more(console, story.found_rows - len(story.rows), "rows of sessions")
    _twice(console, story)
    for unheld in story.unheld:
        console.print(Text(f"In no row of sessions: {plain(unheld.event.event_id)}", style="bold"))
        _facts(console, _unheld_facts(unheld))
        _copies(console, story.archive, unheld.event.places, unheld.event.copies)
    _more(console, story.found_unheld - len(story.unheld), "events in no row of sessions")
    for refusal in story.refused:
        console.print(Text("Rejected", style="bold"))
        made = story.bad.get(refusal.batch_key)
        facts = [("reason", f"{refusal.reason}, by the {refusal.stage}"), ("Kafka", refusal.place)]
        facts += [("refused", instant(refusal.failed_at)), ("object", _object(made, refusal.batch_key))]
        _facts(console, facts)
    _more(console, story.found_refused - len(story.refused), "rejected messages")


def plain(given: str) -> str:
    """Text that a sender chose, with nothing in it that a terminal obeys."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in given)


def instant(at: datetime | None) -> str:
    """2026-01-02 10:01:00.000; - for none."""
    return "-" if at is None else f"{at.astimezone(timezone.utc):%F %T}.{at.microsecond // 1000:03d}"


def _row_facts(told: RowStory) -> list[tuple[str, str]]:
    row = told.row
    return [
        ("visitor", plain(row.uiud)),
        ("session", plain(row.session_id)),
        ("window", f"{row.window_start:%F %H:%M} to {row.window_end:%H:%M} UTC, Pageviews {len(row.pageviews):,}"),
        ("correction", f"{row.correction}: " + (_correction(row.correction))),
        ("object", _object(told.made, row.batch_key)),
        *(("load job", _load(load)) for load in told.loads),
        *([("given up?", _dead_letter(told.loads))] if _failed(told.loads) else []),
        ("batch", _batch(told.record, correction=row.correction)),
    ]


def _correction(number: int) -> str:
    return "appended by a correction" if number else "a row of the stream"


def _object(made: Published | None, key: str) -> str:
    if made is None:
        return f"none of the contract's names for batchKey {plain(key)}"
    if made.generation is None:
        return f"{made.uri}: not in the bucket (any more)"
    return f"{made.uri}, generation {made.generation}, made {instant(made.created_at)}"


def _load(load: Load) -> str:
    parts = [f"{load.job_id}: {load.state}"]
    parts += [f"ended {instant(load.ended_at)}"] if load.ended_at else []
    parts += [f"rows {load.rows:,}"] if load.rows is not None else []
    parts += [f"FAILED: {plain(load.error)}"] if load.error else []
    return ", ".join(parts)


def _failed(loads: list[Load]) -> bool:
    return bool(loads) and loads[-1].error is not None


def _dead_letter(loads: list[Load]) -> str:
    return f"then the dead-letter bucket has {dead_letter_name(loads[0].job_id)}"


def _batch(record: BatchRecord | None, *, correction: int) -> str:
    if record is None:
        why = "a correction is no batch of the stream" if correction else "its record is not in the bucket"
        return f"none: {why}"
    spans = [
        f"{topic}/{partition} {start:,} to {end - 1:,}"
        for topic, partitions in record.offsets.items()
        for partition, (start, end) in sorted(partitions.items())
        if start < end
    ]
    more = [f"{len(spans) - PARTITIONS_SHOWN} more partitions"] if len(spans) > PARTITIONS_SHOWN else []
    read = "; ".join([*spans[:PARTITIONS_SHOWN], *more]) or "nothing"
    key = batch_key(record.query_id, record.batch_id)
    return f"{key}: read {read}; closed windows up to watermark {instant(at_ms(record.watermark_ms))}"


def _unheld_facts(told: EventStory) -> list[tuple[str, str]]:
    event = told.event
    reads = [
        f"{batch_key(record.query_id, record.batch_id)}; late in it: {_late(record.late_watermark_ms)}"
        for record in told.reads
    ]
    return [
        ("fate", FATES[told.fate]),
        ("event", f"{plain(event.event_type)} of {instant(event.event_time)}, {plain(event.page)}"),
        *(("read by", batch) for batch in reads),
    ]


def _late(watermark_ms: int) -> str:
    return f"windows that end by {instant(at_ms(watermark_ms))}" if watermark_ms else "nothing"


def _pageviews(console: Console, story: Story, told: RowStory) -> None:
    shown = told.row.pageviews[: story.limit]
    legend = _legend(story.archive, (story.events[event_id] for *_, event_id in shown if event_id in story.events))
    table = _table("time, UTC", "page", "eventId", "topic/partition/offset", "in Kafka", "received", "file", "again")
    for at, page, event_id in shown:
        event = story.events.get(event_id)
        style = "bold" if event_id == story.id else ""
        cells = [f"{at:%T}.{at.microsecond // 1000:03d}", plain(page), plain(event_id)]
        if event is None:
            cells += ["not in the archive", "-", "-", "-", "-"]
        else:
            cells += [*_copy(event.places[0], legend), f"{event.copies - 1:,}"]
        table.add_row(*(Text(cell, style=style) for cell in cells))
    console.print(table)
    _files(console, legend, story.archive)
    _more(console, len(told.row.pageviews) - len(shown), "pageviews of this row")


def _copies(console: Console, archive: Mapping[str, Published], copies: tuple[Copy, ...], found: int) -> None:
    shown = copies[:PARTITIONS_SHOWN]
    legend = {key: number for number, key in enumerate(sorted({copy.batch_key for copy in shown}), start=1)}
    table = _table("topic/partition/offset", "in Kafka", "received", "file")
    for copy in shown:
        table.add_row(*(Text(cell) for cell in _copy(copy, legend)))
    console.print(table)
    _files(console, legend, archive)
    _more(console, found - len(shown), "copies of this event")


def _legend(archive: Mapping[str, Published], events: Iterable[ArchivedEvent]) -> dict[str, int]:
    keys = sorted({event.places[0].batch_key for event in events})
    return {key: number for number, key in enumerate(keys, start=1)}


def _copy(copy: Copy, legend: Mapping[str, int]) -> list[str]:
    return [copy.place, instant(copy.in_kafka_at), instant(copy.received_at), f"[{legend[copy.batch_key]}]"]


def _files(console: Console, legend: Mapping[str, int], archive: Mapping[str, Published]) -> None:
    _facts(console, ((f"file [{number}]", _object(archive.get(key), key)) for key, number in legend.items()))


def _twice(console: Console, story: Story) -> None:
    """An eventId in more than one of the rows shown."""
    rows_of = Counter(event_id for told in story.rows for *_, event_id in told.row.pageviews)
    for event_id in sorted(event_id for event_id, rows in rows_of.items() if rows > 1)[: story.limit]:
        said = f"In more than one row of sessions: {plain(event_id)}. It is counted twice."
        console.print(Text(said, style="bold"))


def _table(*heads: str) -> Table:
    table = Table()
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head in ("time, UTC", "in Kafka", "received", "file"))
    return table


def _facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    for name, told in facts:
        console.print(Text(f"  {name:<11}{told}"), soft_wrap=True)


def _more(console: Console, number: int, what: str) -> None:
    if number > 0:
        console.print(Text(f"and {number:,} more {what}; --limit shows more"))
