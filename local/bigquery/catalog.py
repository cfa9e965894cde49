"""Datasets, tables and jobs on disk: resources as JSON beside the rows, in one DuckDB file and one transaction."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb

from local.bigquery.errors import duplicate, not_found
from local.bigquery.fields import Field, column_definitions
from local.bigquery.macros import MACROS

Resource = dict[str, Any]

# Tables have numbers for names, in a schema of their own, and the file is attached under a name that no dataset
# can have: DuckDB would take `webevents.sessions` for a catalog where the file is called webevents.
SET_UP = """
CREATE SCHEMA IF NOT EXISTS meta;
CREATE SCHEMA IF NOT EXISTS rows;
CREATE SEQUENCE IF NOT EXISTS meta.table_numbers;
CREATE TABLE IF NOT EXISTS meta.resources (kind VARCHAR, key VARCHAR, body VARCHAR, PRIMARY KEY (kind, key));
CREATE TABLE IF NOT EXISTS meta.loads (target VARCHAR, day DATE, n BIGINT, PRIMARY KEY (target, day));
"""


class Store:
    """The database of one stand-in. One transaction writes at a time; readers see what was committed."""

    def __init__(self, folder: Path, *, memory: str = "1GB") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.results_file = folder / "results.duckdb"
        for leftover in (self.results_file, folder / "results.duckdb.wal"):
            leftover.unlink(missing_ok=True)
        # What a killed load left behind.
        self.scratch = folder / "scratch"
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.lock = threading.RLock()
        self.root = duckdb.connect(config={"memory_limit": memory, "threads": 2})
        self.root.execute(f"ATTACH '{folder / 'tables.duckdb'}' AS \"bigquery:tables\"")
        self.root.execute(f"ATTACH '{self.results_file}' AS \"bigquery:results\"")
        cursor = self.cursor()
        cursor.execute(SET_UP)
        cursor.execute(MACROS)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one thread; the caller closes it."""
        cursor = self.root.cursor()
        cursor.execute('USE "bigquery:tables"')
        return cursor

    @contextmanager
    def read(self) -> Iterator["Catalog"]:
        """One consistent view of everything."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN")
            yield Catalog(cursor)
            cursor.execute("COMMIT")
        finally:
            cursor.close()

    @contextmanager
    def write(self) -> Iterator["Catalog"]:
        """All or nothing: an exception inside undoes every change."""
        with self.lock, self.read() as whole:
            yield whole

    def close(self) -> None:
        """Write the log into the file and let it go."""
        with self.lock:
            self.root.close()


class Catalog:
    """The resources within one transaction. Keys are project.dataset and project.dataset.table."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor

    def find(self, kind: str, key: str) -> Resource | None:
        """The resource, or None. Kinds are dataset, table (views too) and job."""
        row = self.cursor.execute("SELECT body FROM meta.resources WHERE kind = ? AND key = ?", [kind, key]).fetchone()
        return None if row is None else json.loads(row[0])

    def get(self, kind: str, key: str) -> Resource:
        """The resource. Raises BigQueryError 'notFound'."""
        found = self.find(kind, key)
        if found is None:
            raise not_found(kind.capitalize(), key.replace(".", ":", 1))
        return found

    def put(self, kind: str, key: str, body: Resource) -> None:
        """Create or replace the resource."""
        self.cursor.execute("INSERT OR REPLACE INTO meta.resources VALUES (?, ?, ?)", [kind, key, json.dumps(body)])

    def create(self, kind: str, key: str, body: Resource) -> None:
        """The same for a new one. Raises BigQueryError 'duplicate' where the key is taken."""
        if self.find(kind, key) is not None:
            raise duplicate(kind.capitalize(), key.replace(".", ":", 1))
        self.put(kind, key, body)

    def delete(self, kind: str, key: str) -> None:
        """Forget the resource; rows of a table are dropped with it."""
        body = self.get(kind, key)
        if "_rows" in body:
            self.cursor.execute(f"DROP TABLE {body['_rows']}")
        self.cursor.execute("DELETE FROM meta.resources WHERE kind = ? AND key = ?", [kind, key])

    def under(self, kind: str, under: str) -> list[Resource]:
        """The resources whose key begins with `under` and a dot, by key."""
        rows = self.cursor.execute(
            "SELECT body FROM meta.resources WHERE kind = ? AND starts_with(key, ?) ORDER BY key", [kind, under + "."]
        )
        return [json.loads(row[0]) for row in rows.fetchall()]

    def new_rows(self, fields: list[Field]) -> str:
        """An empty table for rows of these columns; its name in DuckDB, to be kept as _rows in the resource."""
        number = self.cursor.execute("SELECT nextval('meta.table_numbers')").fetchall()[0][0]
        name = f"rows.t{number}"
        self.cursor.execute(f"CREATE TABLE {name} ({column_definitions(fields)})")
        return name

    def count_load(self, target: str) -> int:
        """Count one load job of the table today (UTC); the number before it."""
        day = datetime.now(timezone.utc).date()
        counted = self.cursor.execute("SELECT n FROM meta.loads WHERE target = ? AND day = ?", [target, day]).fetchone()
        before = counted[0] if counted else 0
        self.cursor.execute("INSERT OR REPLACE INTO meta.loads VALUES (?, ?, ?)", [target, day, before + 1])
        return int(before)

    def num_rows(self, table: Resource) -> int:
        """The number of rows that the table holds."""
        return int(self.cursor.execute(f"SELECT count(*) FROM {table['_rows']}").fetchall()[0][0])
