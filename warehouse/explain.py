"""`webevents explain`: from a row of sessions back to its pageviews' places in Kafka, and what became of the rest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery
from google.cloud.storage import Bucket
from rich.console import Console

from contract.failures import ConfigError, WebeventsError
from contract.names import DATASET, Kind
from contract.settings import number, read_flags, setting, switch, text
from warehouse.accounts import judge
from warehouse.clients import bigquery_client, dataset_name, storage_client
from warehouse.lineage import Lineage
from warehouse.reconcile import bucket_name, day
from warehouse.records import History, read_records
from warehouse.story import EventStory, RowStory, Story
from warehouse.tables import BEGIN, END
from warehouse.telling import show
from warehouse.traces import ArchivedEvent, SessionsRow, Traces

WIDTH_OF_FILES = 160

DESCRIPTION = """\
Where a row of sessions comes from, and what became of a pageview.

ID is a visitor (uiud), a session (sessionId) or one pageview (eventId). For each row of sessions that it stands in:
  window, correction       0: a row of the stream; n: appended by the n-th correction
  object                   the Avro object that brought the row, its generation, and when it was made
  load job                 each attempt by its deterministic id: state, when, rows
  batch                    which offsets the batch read that closed the window, and its watermark
  pageviews                time, page, eventId, topic/partition/offset, when Kafka and when the collector had it,
                           the object of the archive that holds it, and how often it was sent again

For events of that ID which no row holds, their fate by the batch records, in the words of `webevents reconcile`:
  late, open, lost         and for a refused message its reason; a custom event belongs into no session

An ID that nothing knows is told in a sentence, and the exit code is 1."""

EPILOG = """\
It reads the tables (each question bounded by --from and --to), the bucket and BigQuery's jobs; it changes nothing.
Load jobs are found in --project, for as long as BigQuery remembers jobs: six months."""


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Settings of `webevents explain`."""

    id: tuple[str, ...] = setting(text, help="uiud, sessionId or eventId", positional=True)
    bucket: str = setting(bucket_name, help="bucket that the job publishes to, which holds its batch records")
    since: date = setting(day, default=BEGIN, flag="from", help="first day, UTC, by event time")
    until: date = setting(day, default=END, flag="to", help="last day, UTC, included")
    project: str | None = setting(text, default=None, help="Google Cloud project; the account's own if not given")
    dataset: str = setting(dataset_name, default=DATASET, help="BigQuery dataset")
    location: str | None = setting(text, default=None, help="location of the dataset, outside US and EU")
    limit: int = setting(number, default=10, help="rows of each list that are shown; the others are counted")
    json: bool = setting(switch, default=False, help="print it as JSON")


def main(argv: Sequence[str]) -> int:
    """The command. 0: told; 1: nothing has this id."""
    settings = read_flags(ExplainSettings, argv, prog="webevents explain", description=DESCRIPTION, epilog=EPILOG)
    if len(settings.id) != 1:
        raise ConfigError(f"want one ID, got {len(settings.id)}")
    client = bigquery_client(settings.project, settings.location)
    bucket = storage_client(settings.project).bucket(settings.bucket)
    traces = Traces(client, settings.dataset, settings.limit, settings.since, settings.until)
    check_bucket(bucket)
    try:
        story = explain(settings.id[0], traces, client, bucket)
    except NotFound as error:
        raise ConfigError(f"{error.message}; 'webevents warehouse apply' makes the tables") from error
    except Forbidden as error:
        raise ConfigError(f"{error.message}; SECURITY.md names the rights that this command needs") from error
    if not story.known:
        raise WebeventsError(
            f"{story.id!a} is no uiud, sessionId or eventId in dataset {settings.dataset} between "
            f"{settings.since} and {settings.until}: it was never accepted, or the archive has not reached it yet"
        )
    console = Console()
    if settings.json:
        console.print_json(json.dumps(story.to_json()), ensure_ascii=True)
    else:
        show(story, console if console.is_terminal else Console(width=WIDTH_OF_FILES))
    return 0


def check_bucket(bucket: Bucket) -> None:
    """Raise ConfigError where there is no such bucket: an object asked for in one would just not be there."""
    try:
        next(iter(bucket.list_blobs(max_results=1)), None)
    except (NotFound, Forbidden) as error:
        raise ConfigError(f"--bucket {bucket.name}: {error.message}") from error


def explain(given: str, traces: Traces, client: bigquery.Client, bucket: Bucket) -> Story:
    """The story of one id."""
    lineage = Lineage(client, bucket)
    rows, found_rows = traces.rows(given)
    unheld, found_unheld = traces.unheld(given)
    refused, found_refused = traces.refused(given)
    events = traces.events_of(rows)
    archived = [copy.batch_key for event in [*events.values(), *unheld] for copy in event.places]
    return Story(
        id=given,
        limit=traces.limit,
        rows=tell_rows(rows, lineage),
        found_rows=found_rows,
        events=events,
        unheld=tell_unheld(unheld, bucket),
        found_unheld=found_unheld,
        refused=refused,
        found_refused=found_refused,
        archive=lineage.published(Kind.EVENTS, archived),
        bad=lineage.published(Kind.BAD, (refusal.batch_key for refusal in refused)),
    )


def tell_rows(rows: Sequence[SessionsRow], lineage: Lineage) -> list[RowStory]:
    """Each row with its object, loads and record; what several rows share is looked up once."""
    objects = lineage.published(Kind.SESSIONS, (row.batch_key for row in rows))
    loads = {key: lineage.loads(Kind.SESSIONS, made) for key, made in objects.items()}
    records = {key: lineage.record(key) for key in objects}
    return [
        RowStory(
            row, objects.get(row.batch_key), loads.get(row.batch_key, []),
            records.get(row.batch_key),
        )
        for row in rows
    ]  # fmt: skip


def tell_unheld(unheld: Sequence[ArchivedEvent], bucket: Bucket) -> list[EventStory]:
    """Each event with its fate, as reconcile judges it."""
    copies = [copy for event in unheld if event.is_pageview for copy in event.unmatched()]
    oldest: datetime | None = min((copy.in_kafka_at for event in unheld for copy in event.places), default=None)
    history = History(read_records(bucket, since=oldest) if copies else ())
    fates = judge(copies, history)
    stories = []
    for event in unheld:
        first = event.places[0]
        fate = fates[event.event_id][1] if event.is_pageview else None
        stories.append(EventStory(event, fate, history.reads(first.topic, first.partition, first.offset)))
    return stories
