"""From figures to verdicts. Pure: the time is given."""

from collections.abc import Mapping

from warehouse.monitor.health import LOADS_A_DAY, Bounds, Figure, Stage, Unread, Verdict
from warehouse.monitor.readings import (
    AccountsReading,
    ArchiveReading,
    BucketReading,
    CollectorReading,
    RowsReading,
    SessionsReading,
    TableLoads,
    TopicReading,
)

LOADS_WARNED = 0.8
"""The share of a day's load jobs from which on the table is called behind."""
FORGOTTEN_S = 24 * 3600.0
"""After this time Eventarc has forgotten an object's event: nothing loads it by itself any more."""


def judge_collector(name: str, read: CollectorReading | Unread, before: CollectorReading | None) -> Stage:
    """One collector. Refusals by the storage count only where they grew since `before`, the look before this one."""
    if isinstance(read, Unread):
        return Stage(name, Verdict.SILENT, f"It does not answer: {read.why}.", "the-collector-does-not-answer")
    figures = [
        Figure("stored_events", read.stored, help="Events answered with 2xx since its start."),
        *by_label("refused_events", read.refused, "field", "Events at fault since its start, by the field."),
        Figure("spooling", float(read.spooling), help="1 while events go to its disk."),
        Figure("spool_bytes", read.spool_bytes),
        Figure("in_flight_events", read.in_flight),
    ]
    lag_s = read.oldest_unacknowledged_s
    if lag_s is not None:
        figures.append(Figure("oldest_unacknowledged_seconds", lag_s))
    errors = read.server_errors - (before.server_errors if before else 0)
    if not read.ready:
        verdict, says = Verdict.FAILING, "Kafka is away and the spool is full: senders are told to come again."
        return Stage(name, verdict, says, "the-collector-spools", lag_s=lag_s, figures=figures)
    if before and errors > 0:
        says = f"It refused {errors:,.0f} requests with 5xx since the last look: senders keep them and come again."
        return Stage(name, Verdict.FAILING, says, "the-collector-spools", lag_s=lag_s, figures=figures)
    if read.spooling:
        says = "The broker does not take its events: they are safe on its disk and follow by themselves."
        return Stage(name, Verdict.BEHIND, says, "the-collector-spools", lag_s=lag_s, figures=figures)
    return Stage(name, Verdict.OK, f"{read.stored:,.0f} events stored since its start.", lag_s=lag_s, figures=figures)


def judge_topic(read: TopicReading | Unread, bounds: Bounds, now: float) -> Stage:
    """The topic: a collector's heartbeats alone make it move once a minute."""
    if isinstance(read, Unread):
        return Stage("topic", Verdict.FAILING, f"It cannot be read: {read.why}.", "the-broker-does-not-answer")
    figures = [Figure("messages", read.messages), Figure("partitions", len(read.spans))]
    if read.newest_at is None:
        return Stage("topic", Verdict.SILENT, "It is empty.", "nothing-arrives-and-nothing-fails", figures=figures)
    age_s = max(0.0, now - read.newest_at)
    if age_s > bounds.quiet_s:
        says = f"No message for {span(age_s)}, not even a heartbeat: no collector reaches the broker."
        return Stage("topic", Verdict.SILENT, says, "the-topic-is-silent", read.newest_at, figures=figures)
    return Stage("topic", Verdict.OK, f"{read.messages:,} messages.", "", read.newest_at, figures=figures)


def judge_sessions(read: SessionsReading | Unread | None, bounds: Bounds, now: float) -> Stage:
    """The sessions query: its batch records and its watermark tell that it lives, also while no window closes."""
    name = "sessions query"
    if isinstance(read, Unread):
        return Stage(name, Verdict.FAILING, f"Its records cannot be read: {read.why}.", "the-monitor-cannot-read")
    if read is None:
        return Stage(name, Verdict.SILENT, "It has never put a batch on record: start the job.", "the-job-is-silent")
    lag_s = age(read.backlog.oldest_at, now)
    watermark_s, record_s = max(0.0, now - read.watermark_at), max(0.0, now - read.recorded_at)
    figures = [
        Figure("lag_messages", read.backlog.messages),
        Figure("watermark_timestamp_seconds", read.watermark_at),
        Figure("batch_age_seconds", record_s),
        Figure("batch", read.batch_id),
    ]
    verdict, says, anchor = Verdict.OK, f"Batch {read.batch_id} is {span(record_s)} old.", ""
    if read.backlog.overtaken:
        verdict, anchor = Verdict.FAILING, "the-stream-ends-with-offsets-out-of-range"
        says = f"Kafka has deleted {read.backlog.overtaken:,} messages that it has not read."
    elif read.backlog.messages and record_s > bounds.lag_s and lag_s > bounds.lag_s:
        verdict, anchor = Verdict.SILENT, "the-job-is-silent"
        says = f"No batch for {span(record_s)}, and {read.backlog.messages:,} messages wait: see that the job runs."
    elif lag_s > bounds.lag_s:
        verdict, anchor = Verdict.BEHIND, "the-job-is-behind"
        says = f"{read.backlog.messages:,} messages wait, the oldest for {span(lag_s)}: it works and does not keep up."
    elif read.batch_id and watermark_s > read.window_s + bounds.lag_s:
        verdict, anchor = Verdict.SILENT, "nothing-arrives-and-nothing-fails"
        says = f"The watermark stands {span(watermark_s)} back: no window closes."
    return Stage(name, verdict, says, anchor, read.recorded_at, lag_s, figures)


def judge_archive(read: ArchiveReading | Unread | None, bounds: Bounds) -> Stage:
    """The archive query together with its loads: what of the topic is in events or bad_events."""
    name = "archive query"
    if isinstance(read, Unread):
        return Stage(name, Verdict.FAILING, f"Its lag cannot be read: {read.why}.", "the-monitor-cannot-read")
    if read is None:
        return Stage(name, Verdict.OK, "Not asked yet.")
    lag_s, backlog = age(read.backlog.oldest_at, read.at), read.backlog
    figures = [Figure("lag_messages", backlog.messages)]
    verdict, says, anchor = Verdict.OK, "The archive holds what the topic has.", ""
    if lag_s > bounds.lag_s + bounds.load_s:
        verdict, anchor = Verdict.BEHIND, "the-job-is-behind"
        says = (
            f"{backlog.messages:,} messages are in no table yet, the oldest for {span(lag_s)}: see the stages around."
        )
    elif backlog.messages:
        says = f"{backlog.messages:,} messages are on their way."
    return Stage(name, verdict, says, anchor, read.newest_at, lag_s, figures)


def judge_bucket(read: BucketReading | Unread, bounds: Bounds, now: float) -> Stage:
    """The bucket's events and the function: an object that is published is loaded soon after."""
    name = "bucket, function"
    if isinstance(read, Unread):
        return Stage(name, Verdict.FAILING, f"They cannot be read: {read.why}.", "the-monitor-cannot-read")
    tables = read.tables
    waiting = sum(table.waiting for table in tables.values())
    oldest = min((t.oldest_waiting_at for t in tables.values() if t.oldest_waiting_at is not None), default=None)
    last = max((t.last_done_at for t in tables.values() if t.last_done_at is not None), default=None)
    lag_s = age(oldest, now)
    figures = [
        *by_label(
            "waiting_objects", {name: t.waiting for name, t in tables.items()}, "table", "Published, not loaded."
        ),
        Figure("dead_letters", read.dead_letters, help="Loads given up whose object is not loaded since."),
    ]
    verdict, says, anchor = Verdict.OK, "Every published object is loaded.", ""
    if read.dead_letters:
        verdict, anchor = Verdict.FAILING, "replay-a-batch"
        says = f"{read.dead_letters:,} loads were given up: mend the cause that dead-letter/v1/ names, load again."
    elif lag_s > FORGOTTEN_S:
        verdict, anchor = Verdict.FAILING, "the-archive-is-complete-but-sessions-are-missing"
        says = f"An object of {span(lag_s)} ago is not loaded, and its event is forgotten: copy it onto itself."
    elif lag_s > bounds.load_s:
        verdict, anchor = Verdict.SILENT, "the-function-is-silent"
        says = f"{waiting:,} objects are not loaded, the oldest for {span(lag_s)}: see the function and its trigger."
        if last is not None and oldest is not None and last > oldest + bounds.load_s:
            verdict = Verdict.BEHIND
            says = (
                f"{waiting:,} objects are not loaded, the oldest for {span(lag_s)}; others are: see the function's log."
            )
    elif waiting:
        says = f"{waiting:,} objects are on their way."
    return Stage(name, verdict, says, anchor, last, lag_s, figures)


def judge_loads(read: BucketReading | Unread, rows: RowsReading | Unread | None, now: float) -> Stage:
    """BigQuery: its load jobs of the last day against its limit, failed loads, and how old the newest rows are."""
    name = "bigquery"
    for part in (read, rows):
        if isinstance(part, Unread):
            return Stage(name, Verdict.FAILING, f"It cannot be asked: {part.why}.", "the-monitor-cannot-read")
    assert isinstance(read, BucketReading)
    figures = [
        *by_label("load_jobs", {n: t.loads for n, t in read.tables.items()}, "table", "Within 24 hours, failed too."),
        *by_label("failed_load_jobs", {n: t.failed for n, t in read.tables.items()}, "table", "Within 24 hours."),
        Figure("load_jobs_limit", LOADS_A_DAY, help="A day and table: cloud.google.com/bigquery/quotas."),
    ]
    newest = None
    if isinstance(rows, RowsReading):
        newest = rows.newest_event_at
        ages = {"events": rows.newest_event_at, "sessions": rows.newest_session_at}
        known = {table: age(at, now) for table, at in ages.items() if at is not None}
        figures += by_label("newest_row_age_seconds", known, "table", "By Kafka's time; of sessions by lastSeen.")
    fullest = max(read.tables, key=lambda table: read.tables[table].loads, default="events")
    verdict, says, anchor = _judge_loads(fullest, read.tables)
    return Stage(name, verdict, says, anchor, newest, figures=figures)


def _judge_loads(fullest: str, tables: Mapping[str, TableLoads]) -> tuple[Verdict, str, str]:
    loads = tables[fullest].loads if fullest in tables else 0
    share = f"{loads:,} of {LOADS_A_DAY:,} load jobs a day into {fullest}"
    if loads >= LOADS_A_DAY:
        return Verdict.FAILING, f"{share}: the limit is reached.", "bigquerys-limit-on-load-jobs"
    if loads >= LOADS_WARNED * LOADS_A_DAY:
        return Verdict.BEHIND, f"{share}: make the trigger longer.", "bigquerys-limit-on-load-jobs"
    standing = [(n, t) for n, t in tables.items() if t.last_error_at and t.last_error_at > (t.last_done_at or 0.0)]
    for name, table in standing:
        return Verdict.FAILING, f"The newest load into {name} failed: {table.last_error}", "a-load-job-fails"
    failed = sum(table.failed for table in tables.values())
    also = f"; {failed:,} failed within a day, and loads go on" if failed else ""
    return Verdict.OK, f"{share}{also}.", ""


def judge_accounts(rows: RowsReading | Unread | None, accounts: AccountsReading | Unread | None) -> Stage:
    """Rejected, late, repaired, and reconcile's own verdict."""
    name = "accounts"
    for part in (rows, accounts):
        if isinstance(part, Unread):
            return Stage(name, Verdict.FAILING, f"They cannot be read: {part.why}.", "the-monitor-cannot-read")
    figures: list[Figure] = []
    verdict, says, anchor = Verdict.OK, "Not taken yet.", ""
    if isinstance(rows, RowsReading):
        figures += by_label("rejected_last_hour", rows.rejected_last_hour, "reason", "Messages refused.")
        figures += by_label("rejected_today", rows.rejected_today, "reason", "Messages refused since midnight, UTC.")
        figures.append(Figure("repaired_today", rows.repaired_today, help="Late pageviews that were appended."))
        hour = sum(rows.rejected_last_hour.values())
        says = f"{hour:,} rejected in the last hour, {sum(rows.rejected_today.values()):,} today."
        if hour > rows.events_last_hour:
            verdict, anchor = Verdict.FAILING, "many-messages-are-rejected"
            says = f"{hour:,} rejected in the last hour, {rows.events_last_hour:,} accepted."
    if isinstance(accounts, AccountsReading):
        figures += [
            Figure(f"{key}_pageviews", value, help="Yesterday and today.") for key, value in vars(accounts).items()
        ]
        wrong = [f"{vars(accounts)[key]:,} {word}" for key, word in
                 (("missing", "missing"), ("twice", "there twice"), ("strangers", "that nobody sent"))
                 if vars(accounts)[key]]  # fmt: skip
        if wrong:
            verdict, anchor = Verdict.FAILING, "the-archive-is-complete-but-sessions-are-missing"
            says = f"Pageviews of yesterday and today: {', '.join(wrong)}. webevents reconcile names them."
        elif accounts.late and verdict is Verdict.OK:
            says += f" {accounts.late:,} late: webevents reconcile --repair appends them."
            anchor = "late-pageviews"
    return Stage(name, verdict, says, anchor, figures=figures)


def by_label(name: str, values: Mapping[str, float], label: str, help: str) -> list[Figure]:
    """A figure for each entry."""
    return [Figure(name, value, {label: key}, help) for key, value in sorted(values.items())]


def age(at: float | None, now: float) -> float:
    """Seconds since `at`; 0 where there is nothing, or where the other clock is ahead."""
    return max(0.0, now - at) if at is not None else 0.0


def span(seconds: float) -> str:
    """A length of time, in the unit that fits: 45 s, 12 min, 3.5 h, 2.1 d."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
