"""`webevents reconcile`: account for every pageview, or exit 1 with the missing ones."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery
from google.cloud.storage import Bucket
from rich.console import Console
from rich.table import Table

from contract.failures import ConfigError
from contract.names import DATASET, TOPIC
from contract.settings import read_flags, setting, switch, text
from warehouse.accounts import Accounts, Day, enter, judge
from warehouse.clients import bigquery_client, dataset_name, storage_client
from warehouse.records import History, read_records
from warehouse.repair import repair
from warehouse.tables import BEGIN, END, Tables
from warehouse.telling import plain
from warehouse.topics import coverage

DESCRIPTION = """\
Account for every pageview: accepted = in sessions + rejected + late + open.

accepted   distinct pageviews in the archive (table events), and rejected messages
rejected   refused with a reason (table bad_events)
late       read after the watermark had passed their window: on record in the bucket's batch records
open       their window is not closed yet, or no batch has read them yet
missing    none of these: printed, and the exit code is 1. So it is where an eventId stands in sessions twice

With --repair the late pageviews are then appended to sessions: taken from the archive and put into the bucket as one
numbered correction, an object that is loaded like any batch. It may run at any time and many times: each pageview is
appended once. Open and missing ones are left. The accounts shown are those from before.

With --kafka-servers the archive itself is compared with the topic, offset by offset."""


def day(given: str) -> date:
    """A day as YYYY-MM-DD, UTC."""
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"want a day as YYYY-MM-DD, got {given!r}") from None


def topics(given: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(text(name) for name in given.split(","))


def bucket_name(given: str) -> str:
    """A bucket's name, with or without gs:// before it."""
    return text(given).removeprefix("gs://").rstrip("/")


@dataclass(frozen=True, kw_only=True)
class ReconcileSettings:
    """Settings of `webevents reconcile`."""

    bucket: str = setting(bucket_name, help="bucket that the job publishes to, which holds its batch records")
    since: date = setting(day, default=BEGIN, flag="from", help="first day, UTC, by event time")
    until: date = setting(day, default=END, flag="to", help="last day, UTC, included")
    project: str | None = setting(text, default=None, help="Google Cloud project; the account's own if not given")
    dataset: str = setting(dataset_name, default=DATASET, help="BigQuery dataset")
    location: str | None = setting(text, default=None, help="location of the dataset, outside US and EU")
    kafka_servers: str | None = setting(text, default=None, help="compare the archive with the topic on these brokers")
    topic: tuple[str, ...] = setting(topics, default=(TOPIC,), help="topics to compare, with commas between")
    repair: bool = setting(switch, default=False, help="append the late pageviews to sessions as a numbered correction")
    json: bool = setting(switch, default=False, help="print the accounts as JSON")


def main(argv: Sequence[str]) -> int:
    """The command. 0: it holds; 1: it does not, and the eventIds are printed."""
    settings = read_flags(ReconcileSettings, argv, prog="webevents reconcile", description=DESCRIPTION)
    if settings.since > settings.until:
        raise ConfigError(f"--from {settings.since} lies after --to {settings.until}")
    client = bigquery_client(settings.project, settings.location)
    bucket = storage_client(settings.project).bucket(settings.bucket)
    tables = Tables(client, settings.dataset, settings.since, settings.until)
    try:
        accounts = reconcile(tables, bucket)
        if settings.kafka_servers:
            compare_topics(accounts, client, settings.dataset, settings.kafka_servers, settings.topic)
        repaired = repair(tables, bucket) if settings.repair else None
    except (NotFound, Forbidden) as error:
        raise ConfigError(f"{error.message}; 'webevents warehouse apply' makes the tables") from error
    if settings.json:
        repairs = {"repair": repaired.to_json()} if repaired else {}
        Console().print_json(json.dumps(accounts.to_json() | repairs))
    else:
        show(accounts, Console())
        for line in repaired.lines() if repaired else ():
            Console().print(line, highlight=False, soft_wrap=True)
    return 0 if accounts.holds else 1


def reconcile(tables: Tables, bucket: Bucket) -> Accounts:
    """The accounts of the tables' period, by the batch records in `bucket`."""
    accounts = Accounts()
    for name, counts in tables.days().items():
        accounts.days[name].add(counts)
    by_reason: Counter[str] = Counter()
    for name, reason, number in tables.rejected():
        accounts.days[name].add(Day(accepted=number, rejected=number))
        by_reason[reason] += number
    accounts.rejected_by_reason = by_reason
    unmatched, oldest = tables.unmatched()
    history = History(read_records(bucket, since=oldest) if unmatched else ())
    enter(accounts, judge(unmatched, history))
    accounts.sessions_rows, accounts.pageviews_in_sessions = tables.sessions()
    accounts.other_events = tables.other_events()
    accounts.twice, accounts.strangers = tables.twice(), tables.strangers()
    return accounts


def compare_topics(
    accounts: Accounts, client: bigquery.Client, dataset: str, servers: str, names: Sequence[str]
) -> None:
    """Enter into the accounts what the archive holds of each topic."""
    accounts.topics = tuple(coverage(client, dataset, servers, name) for name in names)


def show(accounts: Accounts, console: Console) -> None:
    """Print the accounts: a table a day, the topics, the faults, the line that must balance."""
    table = Table(title="Accounts by day of event time, UTC")
    columns = ("accepted", "in_sessions", "rejected", "late", "open", "lost", "duplicates")
    table.add_column("day", no_wrap=True)
    for name in columns:
        head = "sent again" if name == "duplicates" else name.replace("_", " ")
        table.add_column(head, justify="right", min_width=min(len(name), 8))
    for name, counts in [*sorted(accounts.days.items()), ("all", accounts.total)]:
        table.add_row(name, *(f"{getattr(counts, column):,}" for column in columns), end_section=name != "all")
    console.print(table)
    for reason, number in sorted(accounts.rejected_by_reason.items()):
        console.print(f"  rejected as {reason}: {number:,}")
    for topic in accounts.topics:
        console.print(
            f"topic {topic.topic}: {topic.messages:,} messages = {topic.archived:,} archived + "
            f"{topic.heartbeats:,} heartbeats + {topic.unread:,} not read yet + {len(topic.absent):,} absent",
            soft_wrap=True,
        )
        _list(console, "in the topic, but in no table", topic.absent)
    _list(console, "missing: read in time, window closed, not in sessions", accounts.missing)
    _list(console, "in sessions twice", accounts.twice)
    _list(console, "in sessions, but not in the archive", accounts.strangers)
    console.print(accounting_line(accounts), highlight=False, soft_wrap=True)


def accounting_line(accounts: Accounts) -> str:
    """The one line that says it all."""
    total = accounts.total
    sign = "=" if accounts.balanced else "is not"
    verdict = "nothing lost, nothing twice" if accounts.holds else "IT DOES NOT HOLD"
    return (
        f"accepted {total.accepted:,} {sign} in sessions {accounts.pageviews_in_sessions:,} + rejected "
        f"{total.rejected:,} + late {total.late:,} + open {total.open:,}: {verdict}"
    )


def _list(console: Console, what: str, names: Sequence[str]) -> None:
    if names:
        console.print(f"[bold]{what}: {len(names):,}[/bold]")
    for name in names:
        console.print(f"  {plain(name)}", markup=False, highlight=False)
