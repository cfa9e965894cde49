"""`webevents replay`: make a period's sessions again from the archive, beside the live ones, and say what differs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery
from google.cloud.storage import Bucket
from rich.console import Console

from contract.failures import ConfigError
from contract.names import DATASET, PAGEVIEW
from contract.settings import number, read_flags, setting, switch, text
from warehouse.clients import bigquery_client, dataset_name, storage_client
from warehouse.period import Period, moment, watermarks, window_length
from warehouse.reconcile import bucket_name, day
from warehouse.records import read_last_records
from warehouse.shadow import Difference, OpenWindows, Shadow

DESCRIPTION = """\
Make the sessions of a period again from the archive (table events), into a dataset of their own, and compare them
with the live ones, row by row. The live tables are only read. All work is done by the warehouse, in SQL.

A row of the stream and the rows of its corrections count as one row of a visitor, session and window.
Windows that the stream has not closed yet, by the newest batch records, are left out and named."""
EPILOG = """\
Exit codes: 0 the rows are the same; 1 they are not: the first keys of each kind are printed, and all stand in the
table `digests` of the new dataset, beside the made rows in its table `sessions`. A second replay gives the same
SHA-256, and replaces the first one's tables. Pageviews that came late differ until they are appended:
  webevents reconcile --bucket BUCKET --from DAY --to DAY --repair
Rows differ too while an object waits for its load: run it again. And a pageview that was sent twice by a browser whose
clock is more than a minute off has a time of its own in each copy: the stream counts the first that came in time, the
archive's earliest counts here."""
SHOWN = {"onlyLive": "only in the live table", "onlyReplayed": "only in the replayed table", "different": "different"}
TOPICS = f"""
SELECT DISTINCT kafkaTopic AS topic FROM `{{dataset}}.events`
WHERE eventType = '{PAGEVIEW}' AND timestamp >= {{since}} AND timestamp < {{until}}
"""


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Settings of `webevents replay`."""

    bucket: str = setting(bucket_name, help="bucket that the job publishes to, which holds its batch records")
    since: date = setting(day, flag="from", help="first day, UTC, of the windows' beginnings")
    until: date = setting(day, flag="to", help="last day, UTC, included")
    into: str | None = setting(dataset_name, default=None, help="dataset to make; DATASET_replay if not given")
    window_seconds: int | None = setting(
        number, default=None, help="windows' length, where the batch records name several for the period's topics"
    )
    project: str | None = setting(text, default=None, help="Google Cloud project; the account's own if not given")
    dataset: str = setting(dataset_name, default=DATASET, help="BigQuery dataset of the live tables")
    location: str | None = setting(text, default=None, help="location of the dataset, outside US and EU")
    json: bool = setting(switch, default=False, help="print the outcome as JSON")


@dataclass(frozen=True)
class Replay:
    """What a replay found."""

    dataset: str
    into: str
    period: Period
    left_out: list[OpenWindows]
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "equal": self.difference.equal,
            "windowSeconds": self.period.window_s,
            "live": {"dataset": self.dataset, "rows": self.difference.live_rows, "sha256": self.difference.live_digest},
            "replayed": {
                "dataset": self.into,
                "rows": self.difference.replayed_rows,
                "sha256": self.difference.replayed_digest,
            },
            **self.difference.counts,
            "keys": {
                kind: [[uiud, session, start.isoformat()] for uiud, session, start in keys]
                for kind, keys in self.difference.keys.items()
            },
            "leftOut": [
                vars(each) | {"first": each.first.isoformat(), "last": each.last.isoformat()} for each in self.left_out
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        found, width = self.difference, max(len(self.dataset), len(self.into))
        for each in self.left_out:
            yield (
                f"left out: {each.windows:,} windows that topic {each.topic} has not closed, "
                f"from {_minute(each.first)} to {_minute(each.last)}, with {each.pageviews:,} pageviews"
            )
        yield f"live      {self.dataset:<{width}}  {found.live_rows:>10,} rows  sha256 {found.live_digest}"
        yield f"replayed  {self.into:<{width}}  {found.replayed_rows:>10,} rows  sha256 {found.replayed_digest}"
        for kind, keys in found.keys.items():
            yield f"{SHOWN[kind]}: {found.counts[kind]:,} rows"
            yield from (f"  {_minute(start)}  uiud {uiud}  sessionId {session}" for uiud, session, start in keys)
        yield "no difference" if found.equal else f"IT DIFFERS: see {self.into}.digests"


def main(argv: Sequence[str]) -> int:
    """The command. 0: the same rows; 1: they differ, and the first keys are printed."""
    settings = read_flags(ReplaySettings, argv, prog="webevents replay", description=DESCRIPTION, epilog=EPILOG)
    into = settings.into or f"{settings.dataset}_replay"
    if settings.since > settings.until:
        raise ConfigError(f"--from {settings.since} lies after --to {settings.until}")
    client = bigquery_client(settings.project, settings.location)
    bucket = storage_client(settings.project).bucket(settings.bucket)
    try:
        found = replay(
            client, bucket, settings.dataset, into, settings.since, settings.until, window_s=settings.window_seconds
        )
    except (NotFound, Forbidden) as error:
        raise ConfigError(f"{error.message}; replay reads {settings.dataset} and makes {into}") from error
    if settings.json:
        Console().print_json(json.dumps(found.to_json()))
    else:
        for line in found.lines():
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if found.difference.equal else 1


def replay(
    client: bigquery.Client,
    bucket: Bucket,
    dataset: str,
    into: str,
    first_day: date,
    last_day: date,
    *,
    window_s: int | None = None,
) -> Replay:
    """Make the sessions of these days again, into the dataset `into`, and compare."""
    records = read_last_records(bucket)
    bounds = {"since": _midnight(first_day), "until": _midnight(last_day + timedelta(days=1))}
    topics = [row.topic for row in client.query_and_wait(TOPICS.format(dataset=dataset, **bounds))]
    length_s = window_length(records, topics, window_s)
    period = Period(first_day, last_day, length_s, watermarks(records))
    shadow = Shadow(client, dataset, into, period)
    shadow.build()
    return Replay(dataset, into, period, shadow.open_windows(), shadow.difference())


def _midnight(given: date) -> str:
    return moment(datetime(given.year, given.month, given.day, tzinfo=timezone.utc))


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
