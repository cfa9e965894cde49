"""Publish a micro-batch exactly once: stage it with Spark's writer, then create its object if it is not there.

The staged attempt lies outside the published names. A replayed batch finds its object, discards its own attempt and
has still run one full action, without which the state of the next batch would be lost.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from contract.names import BatchObject, Kind
from contract.schemas import schema_text
from streaming.checkpoint import Checkpoint
from streaming.storage import Store

ROWS = "rows"
"""The name of the count of rows to be published, among the counts of a batch."""


class Publisher:
    """Publishes the batches of one query."""

    def __init__(self, store: Store, checkpoint: Checkpoint, *, stage: str, files_per_batch: int = 1) -> None:
        self.store = store
        self.checkpoint = checkpoint
        self.stage = stage.rstrip("/")
        self.files_per_batch = files_per_batch

    def query_id(self) -> str:
        """The query's id, which Spark writes down before the first batch begins."""
        query_id = self.checkpoint.query_id()
        if query_id is None:
            raise RuntimeError(f"{self.checkpoint.path} has no metadata file while its query runs")
        return query_id

    def remove_leftovers(self, *kinds: Kind) -> None:
        """Delete what an earlier process staged and did not publish. Call it before the query starts."""
        query_id = self.checkpoint.query_id()
        if query_id is not None:
            for kind in kinds:
                self.checkpoint.files.delete(f"{self.stage}/{kind.value}/{query_id}")

    def publish(
        self,
        frame: DataFrame,
        kind: Kind,
        batch_id: int,
        *,
        counts: Mapping[str, Column],
        to_rows: Callable[[DataFrame], DataFrame] = lambda frame: frame,
    ) -> tuple[str | None, dict[str, int]]:
        """Write to_rows(frame) in one full action and publish it; returns the object's name and the counts.

        `frame` has files_per_batch partitions, behind a shuffle. to_rows gives the columns of the contract but for
        batchKey. `counts` are aggregates over `frame`, among them ROWS: where that is 0 nothing is published and the
        name is None. They are observed in the tasks that write: a stage that runs again for a lost executor counts
        nothing twice.
        """
        target = BatchObject(kind, self.query_id(), batch_id, manifest=self.files_per_batch > 1)
        observed = Observation()
        columns = [count.alias(name) for name, count in counts.items()]
        rows = to_rows(frame.observe(observed, *columns))
        rows = rows.withColumn("batchKey", F.lit(target.batch_key))
        name = find_published(self.store, kind, target.query_id, batch_id)
        if name is not None:
            rows.write.format("noop").mode("overwrite").save()
        else:
            name = self._stage_and_create(rows, target, observed)
        return name, counted(observed)

    def _stage_and_create(self, rows: DataFrame, target: BatchObject, observed: Observation) -> str | None:
        attempt = uuid.uuid4().hex
        batch = f"{self.stage}/{target.kind.value}/{target.query_id}/batch={target.batch_id:012d}"
        folder = f"{batch}/attempt={attempt}"
        write_avro(rows, folder, schema_text(target.kind.schema))
        count = counted(observed)[ROWS]
        if count:
            files = self.checkpoint.files
            staged = [f"{folder}/{name}" for name in files.names(folder) if name.endswith(".avro")]
            self._create(target, staged, attempt, count)
        self.checkpoint.files.delete(batch)
        return target.name if count else None

    def _create(self, target: BatchObject, staged: list[str], attempt: str, count: int) -> None:
        """Create the object. Where it is there already, an earlier attempt made it with the same rows."""
        if not target.manifest:
            (only,) = staged
            self.store.create_from(target.name, only)
            return
        parts = [target.part_name(attempt, index) for index in range(len(staged))]
        for part, file in zip(parts, staged, strict=True):
            self.store.create_from(part, file)
        uris = [self.store.uri(part) for part in parts]
        self.store.create(target.name, manifest(uris, count, target.kind))
        self._delete_parts_of_dead_attempts(target, attempt)

    def _delete_parts_of_dead_attempts(self, target: BatchObject, attempt: str) -> None:
        kept = set(json.loads(self.store.read(target.name))["uris"])
        folder = target.part_name(attempt, 0).rsplit("/", 2)[0] + "/"
        for name in self.store.names(folder):
            if self.store.uri(name) not in kept:
                self.store.delete(name)


def find_published(store: Store, kind: Kind, query_id: str, batch_id: int) -> str | None:
    """The batch's object, under whichever setting of files_per_batch it was created; None where there is none."""
    forms = [BatchObject(kind, query_id, batch_id, manifest=form) for form in (False, True)]
    return next((form.name for form in forms if store.exists(form.name)), None)


def counted(observed: Observation) -> dict[str, int]:
    """The counts of a batch that was written. A sum over no rows is null: a batch may be offsets without a message."""
    return {key: int(value or 0) for key, value in observed.get.items()}


def write_avro(rows: DataFrame, folder: str, schema: str) -> None:
    """Write `rows` with Spark's Avro writer, one file a partition, in the given Avro schema."""
    options = {"avroSchema": schema, "compression": "snappy"}
    rows.write.format("avro").options(**options).mode("error").save(folder)


def manifest(uris: list[str], rows: int, kind: Kind) -> bytes:
    """The object that stands for a batch of several files; one load job reads all of them."""
    fields = {"uris": uris, "rows": rows, "schema": fingerprint(kind)}
    return json.dumps(fields, separators=(",", ":")).encode()


def fingerprint(kind: Kind) -> str:
    """SHA-256 of the text of the schema that the files are written in."""
    return hashlib.sha256(schema_text(kind.schema).encode()).hexdigest()
