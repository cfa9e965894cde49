"""The shadow dataset: sessions made again from the archive, and every row's digest beside the live one's."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from contract.failures import ConfigError
from contract.names import Kind
from warehouse.apply import statement
from warehouse.digests import KEY, row_digests, table_digest
from warehouse.period import Period
from warehouse.rows import session_rows

BATCH_KEY = "replay"
LISTED = 5
"""How many keys of each kind of difference are shown; all of them are in the table `digests`."""

KINDS = {
    "onlyLive": "replayedDigest IS NULL",
    "onlyReplayed": "liveDigest IS NULL",
    "different": "liveDigest != replayedDigest",
}


@dataclass(frozen=True)
class OpenWindows:
    """Windows of one topic that are left out, from the first one's beginning to the last one's."""

    topic: str
    windows: int
    pageviews: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Difference:
    """Rows by visitor, session and window, those of corrections merged into the stream's. Digests are SHA-256."""

    live_rows: int
    replayed_rows: int
    live_digest: str
    replayed_digest: str
    counts: dict[str, int] = field(default_factory=dict)
    keys: dict[str, list[tuple[str, str, datetime]]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether both tables hold the same rows."""
        return not any(self.counts.values()) and self.live_digest == self.replayed_digest


@dataclass(frozen=True)
class Shadow:
    """The dataset `into`, with the tables sessions, open_windows and digests, beside the live `dataset`."""

    client: bigquery.Client
    dataset: str
    into: str
    period: Period

    def build(self) -> None:
        """Make the tables anew, each in one statement. Raises ConfigError where `into` is a dataset of live tables."""
        self._check_not_live()
        made = bigquery.Dataset(f"{self.client.project}.{self.into}")
        made.location = self.client.get_dataset(self.dataset).location
        self.client.create_dataset(made, exists_ok=True)
        self._ask(f"CREATE OR REPLACE TABLE `{self.into}.open_windows` AS {self.period.open_windows(self.dataset)}")
        self._ask(f"{replaced('sessions', self.into)} AS\n{self._rows()}")
        self._ask(f"CREATE OR REPLACE TABLE `{self.into}.digests` AS {self._digests()}")

    def _check_not_live(self) -> None:
        try:
            self.client.get_table(f"{self.client.project}.{self.into}.{Kind.EVENTS.table}")
        except NotFound:
            return
        raise ConfigError(
            f"--into {self.into}: that dataset has a table {Kind.EVENTS.table}, so its sessions are live ones, which a "
            "replay would replace; name a new dataset"
        )

    def open_windows(self) -> list[OpenWindows]:
        """What is left out, topic by topic."""
        question = f"""
SELECT topic, COUNT(*) AS windows, SUM(pageviews) AS pageviews, MIN(window_start) AS first, MAX(window_start) AS last
FROM `{self.into}.open_windows` GROUP BY topic ORDER BY topic"""
        return [OpenWindows(**dict(row)) for row in self._ask(question)]

    def difference(self) -> Difference:
        """How the two tables differ."""
        counts = ", ".join(f"COUNTIF({condition}) AS {kind}" for kind, condition in KINDS.items())
        (row,) = self._ask(f"""
SELECT COUNT(liveDigest) AS liveRows, COUNT(replayedDigest) AS replayedRows, {counts} FROM `{self.into}.digests`""")
        found = {kind: int(row[kind]) for kind in KINDS}
        return Difference(
            live_rows=row.liveRows,
            replayed_rows=row.replayedRows,
            live_digest=self._digest("liveDigest"),
            replayed_digest=self._digest("replayedDigest"),
            counts=found,
            keys={kind: self._keys(KINDS[kind]) for kind, number in found.items() if number},
        )

    def _rows(self) -> str:
        """All closed windows of the archive, as rows of the contract."""
        closed = f"SELECT * FROM ({self.period.pageviews(self.dataset)}) WHERE {self.period.closed(self.into)}"
        return session_rows(closed, window_s=self.period.window_s, batch_key=BATCH_KEY)

    def _digests(self) -> str:
        merged = read_sql("merged").replace("{dataset}", self.dataset)
        live = row_digests(merged.replace("{closed}", self.period.closed(self.into)))
        return f"""
WITH live AS ({live}),
replayed AS ({row_digests(f"SELECT * FROM `{self.into}.sessions`")})
SELECT {KEY}, live.digest AS liveDigest, replayed.digest AS replayedDigest
FROM live FULL JOIN replayed USING ({KEY})"""

    def _digest(self, column: str) -> str:
        of_rows = f"SELECT {column} AS digest FROM `{self.into}.digests` WHERE {column} IS NOT NULL"
        (row,) = self._ask(table_digest(of_rows))
        return str(row.digest)

    def _keys(self, condition: str) -> list[tuple[str, str, datetime]]:
        question = f"SELECT {KEY} FROM `{self.into}.digests` WHERE {condition}"
        rows = self._ask(f"{question} ORDER BY window_start, uiud, sessionId LIMIT {LISTED}")
        return [(row.uiud, row.sessionId, row.window_start) for row in rows]

    def _ask(self, question: str) -> Iterator[Any]:
        return iter(self.client.query_and_wait(question))


def replaced(name: str, dataset: str) -> str:
    """The DDL of a table of the contract, which takes the place of one that is there."""
    ddl = statement(name, dataset)
    assert ddl.startswith("CREATE TABLE IF NOT EXISTS")
    return ddl.replace("CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE TABLE", 1).rstrip()


def read_sql(name: str) -> str:
    """The text of the .sql file beside this module."""
    return (resources.files(__package__) / f"{name}.sql").read_text(encoding="utf-8")
