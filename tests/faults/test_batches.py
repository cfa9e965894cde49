"""A micro-batch that dies at each of its points, is done by two drivers, or finds its checkpoint damaged or new."""

import random
import re
from dataclasses import dataclass

import pyspark
import pytest
from pyspark.errors import StreamingQueryException

from contract.reasons import Reason
from streaming import publish
from streaming.lifecycle import damaged_state
from streaming.storage import FolderStore
from tests.oracle import Message, digest, judge
from tests.streaming.topic import KAFKA_TIME, Run, at, beat, pageview

pytestmark = pytest.mark.spark

CLOSE_ALL = beat(at("23:00"))
KAFKA_MS = round(KAFKA_TIME.timestamp() * 1000)


class Crash(Exception):
    """Stands for kill -9: what was written stays, nothing more is done."""


@dataclass
class CrashingStore(FolderStore):
    """A bucket; the process dies on its way to it, or looked at it before another driver wrote."""

    root: object
    crash_at: str = ""
    blind: bool = False

    def create_from(self, name, staged):
        if self.crash_at == "after the staged file":
            raise Crash
        return super().create_from(name, staged)

    def create(self, name, content):
        if self.crash_at == "after the published object" and name.startswith("batches/"):
            raise Crash
        return super().create(name, content)

    def exists(self, name):
        return False if self.blind and name.startswith("sessions/") else super().exists(name)


@dataclass
class CrashRun(Run):
    """The queries, whose process dies at `crash_at` in the batch `crash_in`."""

    crash_at: str = ""
    blind: bool = False

    def log(self, name):
        """The files of a log of the sessions query's checkpoint."""
        return (self.root / "checkpoint" / "sessions" / name).glob("[0-9]*")

    def publisher(self, name, *kinds):
        made = super().publisher(name, *kinds)
        made.store = CrashingStore(self.root / "bucket", self.crash_at, self.blind)
        return made

    def _drain(self, rows, name, sink):
        def dying(frame, batch_id):
            if self.crash_at == "offsets written":
                raise Crash
            sink(frame, batch_id)
            if self.crash_at == "before the commit":
                raise Crash

        return super()._drain(rows, name, dying)


POINTS = (
    "offsets written", "in the Avro write", "after the staged file", "after the published object", "before the commit",
)  # fmt: skip


def die_in_the_write(rows, folder, schema):
    """Tasks have written, the job of the write is not committed."""
    rows.limit(1).write.format("avro").option("avroSchema", schema).save(f"{folder}/_temporary/0")
    raise Crash


def oracle(*values):
    return judge(Message(value, KAFKA_MS) for value in values)


def test_a_driver_that_dies_at_each_point_of_a_batch_leaves_the_oracles_rows_once(spark, tmp_path, monkeypatch):
    closed = [pageview(at("10:00"), eventId=f"closed {number}", uiud=f"u{number}") for number in range(3)]
    left_open = [pageview(at("11:10"), eventId=f"open {number}", uiud=f"u{number}") for number in range(3)]
    run = CrashRun(spark, tmp_path)
    run.send(*closed)
    run.drain_sessions()
    run.send(*left_open)
    # The batch that has read the message dies at none of these but one; the next one, which publishes, at each.
    for run.crash_at in ("after the staged file", *POINTS):
        with monkeypatch.context() as patched:
            if run.crash_at == "in the Avro write":
                patched.setattr(publish, "write_avro", die_in_the_write)
            with pytest.raises(StreamingQueryException, match="Crash"):
                run.drain_sessions()
    newest = {log: max(int(path.name) for path in run.log(log)) for log in ("offsets", "commits")}
    assert newest["offsets"] == newest["commits"] + 1, "all of them died in one batch"
    run.crash_at = ""
    run.send(CLOSE_ALL)
    run.drain_sessions()
    assert digest(run.rows()) == digest(oracle(*closed, *left_open).sessions)
    assert len(run.objects("sessions/")) == 2
    assert [path for path in (tmp_path / "stage").rglob("*") if path.is_file()] == []


def test_a_driver_that_wakes_up_after_another_one_has_done_its_batch_publishes_nothing(spark, tmp_path):
    """The worst moment: it had looked and found no object, and wakes up behind its look."""
    run = CrashRun(spark, tmp_path)
    run.send(pageview(at("10:00"), eventId="a"), CLOSE_ALL)
    run.drain_sessions()
    before = {name: (tmp_path / "bucket" / name).stat().st_ino for name in run.objects()}
    rows = run.rows()
    run.forget_commit("sessions", run.records()[-1]["batchId"])
    run.blind = True
    run.drain_sessions()
    assert {name: (tmp_path / "bucket" / name).stat().st_ino for name in run.objects()} == before
    assert run.rows() == rows and len(rows) == 1


POISON = {
    b"hello": Reason.UNDECODABLE, b"": Reason.UNDECODABLE, None: Reason.UNDECODABLE,
    b"\xff" * 100_000: Reason.UNDECODABLE, b"[" * 500: Reason.UNDECODABLE,
    pageview(at("10:00"), uiud=None): Reason.MISSING_UIUD, pageview("soon"): Reason.UNREADABLE_TIMESTAMP,
    pageview(at("10:00"), pageUrl=""): Reason.MISSING_PAGE_URL,
    pageview(KAFKA_MS + 86_400_000): Reason.TIMESTAMP_IN_FUTURE, pageview(-1): Reason.TIMESTAMP_OUT_OF_RANGE,
}  # fmt: skip


def test_one_message_in_a_hundred_is_poison_one_a_day_ahead_and_all_others_are_there(spark, tmp_path):
    chance = random.Random(1)
    good = [
        pageview(at("10:00") + number * 4_000, eventId=f"e{number}", uiud=f"u{chance.randrange(40)}")
        for number in range(990)
    ]
    values = [*good]
    for number, poison in enumerate(POISON):
        values.insert(number * 100, poison)
    run = Run(spark, tmp_path)
    for start in range(0, len(values), 250):
        run.send(*values[start : start + 250])
    run.send(CLOSE_ALL)
    run.drain_sessions()
    run.drain_archive()
    wanted = oracle(*values)
    assert wanted.pageviews == len(good) and wanted.rejected.total() == len(POISON) == 10
    assert digest(run.rows()) == digest(wanted.sessions)
    told = {row["payload"]: row["reason"] for row in run.rows("bad")}
    assert told == {value or b"": reason.value for value, reason in POISON.items()}
    assert len(run.rows("events")) == len(good)


def unload_state(spark):
    """As a new process finds it: nothing of the state in memory."""
    held = spark._jvm.java.lang.Class.forName("org.apache.spark.sql.execution.streaming.state.StateStore$")
    held.getField("MODULE$").get(None).stop()


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "other bytes": lambda path: path.write_bytes(bytes(byte ^ 0xFF for byte in path.read_bytes())),
}


NAMED = ("gone",) if pyspark.__version__.startswith("3.") else ("gone", "cut short", "empty")
"""Spark 4 has a checksum of the file, and looks at it only where its bytes can be unpacked."""


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_state_ends_the_query_names_the_file_and_publishes_nothing(spark, tmp_path, name):
    run = Run(spark, tmp_path)
    run.send(*[pageview(at("10:00"), eventId=f"e{number}", uiud=f"u{number}") for number in range(20)])
    run.drain_sessions()
    unload_state(spark)
    state = tmp_path / "checkpoint/sessions/state"
    newest = max((state / "0/0").glob("*.changelog"), key=lambda path: int(path.stem))
    DAMAGE[name](newest)
    before = run.objects()
    run.send(CLOSE_ALL)
    with pytest.raises(StreamingQueryException) as ended:
        run.drain_sessions()
    told = str(damaged_state(str(ended.value), state.parent.as_uri()))
    place = str(newest) if name in NAMED else state.as_uri()
    assert re.fullmatch(f"the checkpoint is damaged: .*{re.escape(place)} is missing or cannot be read; .*", told)
    assert run.objects() == before


def test_a_query_that_ended_for_another_reason_has_no_damaged_state():
    assert damaged_state("[STREAM_FAILED] offsets out of range", "file:///c") is None
