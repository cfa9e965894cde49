"""What a replay may compare: windows of the period that the stream has closed, by its newest batch records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from contract.failures import ConfigError
from contract.names import PAGEVIEW
from warehouse.records import BatchRecord

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Period:
    """Windows that begin on these days, UTC, the last one included.

    watermarks: topic -> ms since epoch up to which its windows are closed. A topic that no batch has read is not in it.
    """

    first_day: date
    last_day: date
    window_s: int
    watermarks: Mapping[str, int]

    @property
    def newest(self) -> str:
        """The newest watermark of all topics, in SQL."""
        return moment(EPOCH + timedelta(milliseconds=max(self.watermarks.values(), default=0)))

    @property
    def begins_within(self) -> str:
        """The condition that a row's window begins in the period, in SQL."""
        return f"window_start >= {_midnight(self.first_day)} AND window_start < {_midnight(self.last_day, 1)}"

    def pageviews(self, dataset: str) -> str:
        """The question for the archived pageviews of the period's windows: events, with window_start and window_end."""
        start = f"TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(timestamp), {self.window_s}) * {self.window_s})"
        after = f"TIMESTAMP_ADD({_midnight(self.last_day, 1)}, INTERVAL {self.window_s} SECOND)"
        return f"""
SELECT * FROM (
  SELECT *, {start} AS window_start, TIMESTAMP_ADD({start}, INTERVAL {self.window_s} SECOND) AS window_end
  FROM `{dataset}.events`
  WHERE eventType = '{PAGEVIEW}' AND timestamp >= {_midnight(self.first_day)} AND timestamp < {after}
)
WHERE {self.begins_within}"""

    def open_windows(self, dataset: str) -> str:
        """The question for the windows that hold a pageview of a topic which has not closed them."""
        closed = [
            f"kafkaTopic = {_quoted(topic)} AND window_end <= {moment(EPOCH + timedelta(milliseconds=ms))}"
            for topic, ms in sorted(self.watermarks.items())
        ]
        return f"""
SELECT window_start, kafkaTopic AS topic, COUNT(DISTINCT eventId) AS pageviews
FROM ({self.pageviews(dataset)})
WHERE NOT ({" OR ".join(f"({each})" for each in closed) or "FALSE"})
GROUP BY window_start, topic"""

    def closed(self, into: str) -> str:
        """The condition that a row's window begins in the period and is compared, in SQL."""
        return (
            f"{self.begins_within} AND window_end <= {self.newest}\n"
            f"    AND window_start NOT IN (SELECT window_start FROM `{into}.open_windows`)"
        )


def window_length(records: Sequence[BatchRecord], topics: Iterable[str], wanted_s: int | None) -> int:
    """The one length of the windows of the queries that read these topics, or that which is wanted of several.

    Raises ConfigError where the records name none or several.
    """
    named = set(topics)
    lengths = {record.window_s for record in records if named & set(record.offsets)} or {r.window_s for r in records}
    if wanted_s is not None:
        return wanted_s
    if not lengths:
        raise ConfigError("the bucket holds no batch records: they tell the windows' length and which ones are closed")
    if len(lengths) > 1:
        spelled = ", ".join(map(str, sorted(lengths)))
        raise ConfigError(
            f"the period's topics were read with windows of several lengths ({spelled} s): take a period that has one, "
            "and name it with --window-seconds"
        )
    return lengths.pop()


def watermarks(records: Iterable[BatchRecord]) -> dict[str, int]:
    """topic -> the newest watermark of the queries that read it, by their last records; ms since epoch."""
    found: dict[str, int] = {}
    for record in records:
        for topic in record.offsets:
            found[topic] = max(found.get(topic, 0), record.watermark_ms)
    return found


def moment(at: datetime) -> str:
    """A timestamp as a literal of BigQuery's SQL."""
    return f"TIMESTAMP '{at:%Y-%m-%d %H:%M:%S.%f}+00'"


def _midnight(day: date, days_after: int = 0) -> str:
    return moment(datetime.combine(day, time.min, tzinfo=timezone.utc) + timedelta(days=days_after))


def _quoted(given: str) -> str:
    escaped = given.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
