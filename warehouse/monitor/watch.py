"""One look at all stages after the other, and a log line for each change."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from threading import Thread
from typing import TypeVar
from urllib.parse import urlsplit

from contract.failures import WebeventsError
from warehouse.monitor import judge
from warehouse.monitor.canary import judge_canary
from warehouse.monitor.collector import read_collector
from warehouse.monitor.follow import Follower
from warehouse.monitor.health import Bounds, Stage, Status, Unread, Verdict
from warehouse.monitor.objects import UNREACHABLE, Objects
from warehouse.monitor.readings import (
    AccountsReading,
    ArchiveReading,
    CollectorReading,
    RowsReading,
    SessionsReading,
    TopicReading,
)
from warehouse.monitor.rows import Rows
from warehouse.monitor.topic import Topic
from warehouse.reconcile import reconcile
from warehouse.tables import Tables

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """Looks at one pipeline. `now` is the wall clock in seconds."""

    collectors: tuple[str, ...]
    topic: Topic
    objects: Objects
    rows: Rows
    bounds: Bounds
    now: Callable[[], float]
    follower: Follower | None = None
    tables_every_s: float = 0.0
    accounts_every_s: float = 0.0
    accounting: Thread | None = None
    _before: dict[str, CollectorReading] = field(default_factory=dict)
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _rows: RowsReading | Unread | None = None
    _archive: ArchiveReading | Unread | None = None
    _accounts: AccountsReading | Unread | None = None
    _asked_tables_at: float | None = None
    _asked_accounts_at: float | None = None

    def look(self) -> Status:
        """Read every stage, judge it, and log what has changed."""
        begun = self.now()
        stages = [self._look_at_collector(url) for url in self.collectors]
        topic = attempt(self.topic.read)
        if self.follower is not None:
            self.follower.send(self.now(), None if isinstance(topic, Unread) else topic.spans)
        bucket = attempt(lambda: self.objects.read(self.now()))
        sessions = attempt(lambda: self._read_sessions(topic))
        self._ask_tables(topic)
        stages += [
            judge.judge_topic(topic, self.bounds, self.now()),
            judge.judge_archive(self._archive, self.bounds),
            judge.judge_sessions(sessions, self.bounds, self.now()),
            judge.judge_bucket(bucket, self.bounds, self.now()),
            judge.judge_loads(bucket, self._rows, self.now()),
            judge.judge_accounts(self._rows, self._accounts),
            *self._look_at_canary(),
        ]
        status = Status(begun, stages, self.now() - begun)
        self.tell(status)
        return status

    def _look_at_collector(self, url: str) -> Stage:
        name = "collector" if len(self.collectors) == 1 else f"collector {urlsplit(url).netloc}"
        read = attempt(lambda: read_collector(url))
        stage = judge.judge_collector(name, read, self._before.get(url))
        if isinstance(read, CollectorReading):
            self._before[url] = read
        return stage

    def _read_sessions(self, topic: TopicReading | Unread) -> SessionsReading | None:
        found = self.objects.newest_record(self.topic.topic)
        if found is None:
            return None
        recorded_at, record = found
        spans = {} if isinstance(topic, Unread) else topic.spans
        ends = {partition: end for partition, (_, end) in record.offsets[self.topic.topic].items()}
        return SessionsReading(
            record.query_id, record.batch_id, recorded_at, record.watermark_ms / 1000, record.window_s,
            self.topic.backlog(spans, ends),
        )  # fmt: skip

    def _ask_tables(self, topic: TopicReading | Unread) -> None:
        """The tables are asked less often than the rest is looked at: each question costs."""
        now = self.now()
        if self._asked_tables_at is None or now - self._asked_tables_at >= self.tables_every_s:
            self._asked_tables_at = now
            rows = self._rows = attempt(lambda: self.rows.read(now))
            self._archive = rows if isinstance(rows, Unread) else attempt(lambda: self._read_archive(topic, now))
        due = self._asked_accounts_at is None or now - self._asked_accounts_at >= self.accounts_every_s
        busy = self.accounting is not None and self.accounting.is_alive()
        if self.accounts_every_s and due and not busy and isinstance(self._rows, RowsReading):
            self._asked_accounts_at = now
            self.accounting = Thread(target=self._take_accounts, args=(now,), name="accounts", daemon=True)
            self.accounting.start()

    def _take_accounts(self, now: float) -> None:
        """Beside the looks: on a large site it takes longer than they may."""
        self._accounts = attempt(lambda: self._read_accounts(now))

    def _read_archive(self, topic: TopicReading | Unread, now: float) -> ArchiveReading:
        spans = {} if isinstance(topic, Unread) else topic.spans
        held = [partition for partition, (start, end) in spans.items() if end > start]
        ends, newest_at = self.rows.ends(self.topic.topic, held, now)
        return ArchiveReading(now, newest_at, self.topic.backlog_of_archive(spans, ends))

    def _read_accounts(self, now: float) -> AccountsReading:
        today = datetime.fromtimestamp(now, timezone.utc).date()
        tables = Tables(self.rows.client, self.rows.dataset, today - timedelta(days=1), today)
        accounts = reconcile(tables, self.objects.bucket)
        total = accounts.total
        return AccountsReading(
            total.accepted, total.late, total.open, len(accounts.missing), len(accounts.twice), len(accounts.strangers)
        )

    def _look_at_canary(self) -> list[Stage]:
        if self.follower is None:
            return []
        follower = self.follower
        looked = attempt(lambda: follower.look(self.now()))
        stage = judge_canary(follower.flock, self.bounds, self.now())
        if isinstance(looked, Unread) and stage.verdict is Verdict.OK:
            stage = replace(stage, says=f"{stage.says} It cannot be followed now: {looked.why}.")
        return [stage]

    def tell(self, status: Status) -> None:
        """One line when a stage's verdict changes, for the worse or back; none while it stays."""
        for stage in status.stages:
            before = self._verdicts.get(stage.name, Verdict.OK)
            if stage.verdict is not before:
                level = logging.INFO if stage.verdict is Verdict.OK else logging.ERROR
                fields = {"stage": stage.name, "verdict": stage.verdict.value, "before": before.value}
                log.log(level, "stage", extra={**fields, "says": stage.says, "runbook": stage.runbook})
            self._verdicts[stage.name] = stage.verdict


def attempt(read: Callable[[], T]) -> T | Unread:
    """What `read` returns, or why it could not be had."""
    try:
        return read()
    except WebeventsError as error:
        return Unread(str(error))
    except UNREACHABLE as error:
        return Unread(getattr(error, "message", None) or str(error))


def settled(follower: Follower, bounds: Bounds, now: float) -> bool:
    """Whether nothing more is to be learnt by waiting: all canaries have arrived, or one is overdue."""
    return not follower.open or judge_canary(follower.flock, bounds, now).verdict is not Verdict.OK
