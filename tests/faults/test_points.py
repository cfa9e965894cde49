"""Where in a batch the job is, by the files that it has left: each point laid out as the job lays it out."""

import pytest

from local.points import Point, files_of, wait_for
from tests.streaming import topic

TOPIC, BUCKET = "webevent", "webevents"
QUERY_ID = "1f956285-7dc9-4e2f-9c5e-d1c1a06bbbaa"
BATCH = 12


class Layout:
    """The files of one query in a state folder, after eleven whole batches."""

    def __init__(self, state, query):
        self.state, self.query = state, query
        self.kind = {"sessions": "sessions", "archive": "events"}[query]
        self.write(f"checkpoint/{TOPIC}/{query}/metadata")
        for number in range(BATCH):
            self.write(f"checkpoint/{TOPIC}/{query}/offsets/{number}")
            self.write(f"checkpoint/{TOPIC}/{query}/offsets/.{number}.crc")
            self.write(f"checkpoint/{TOPIC}/{query}/commits/{number}")
            self.write(f"storage/{BUCKET}/{self.kind}/v1/{QUERY_ID}/batch={number:012d}.avro")
            self.write(f"storage/{BUCKET}/batches/v1/{QUERY_ID}/batch={number:012d}.json")

    def write(self, name):
        path = self.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def plan(self):
        self.write(f"checkpoint/{TOPIC}/{self.query}/offsets/{BATCH}")

    def attempt(self, name="a/part-00000.avro"):
        self.write(f"checkpoint/{TOPIC}-stage/{self.kind}/{QUERY_ID}/batch={BATCH:012d}/attempt={name}")

    def publish(self):
        self.write(f"storage/{BUCKET}/{self.kind}/v1/{QUERY_ID}/batch={BATCH:012d}.avro")

    def record(self):
        self.write(f"storage/{BUCKET}/batches/v1/{QUERY_ID}/batch={BATCH:012d}.json")

    def commit(self):
        self.write(f"checkpoint/{TOPIC}/{self.query}/commits/{BATCH}")

    def files(self):
        return {files.query: files for files in files_of(self.state, TOPIC, BUCKET)}[self.query]

    def point(self):
        return self.files().point()


@pytest.mark.parametrize("query", ["sessions", "archive"])
def test_each_point_of_a_batch_in_its_order(tmp_path, query):
    layout = Layout(tmp_path, query)
    found = [layout.point()]
    steps = (
        layout.plan, lambda: layout.attempt("a/_temporary/0/x.avro"), layout.attempt,
        lambda: layout.attempt("a/_SUCCESS"), layout.publish, layout.record, layout.commit,
    )  # fmt: skip
    for step in steps:
        step()
        found.append(layout.point())
    # Only the sessions query leaves a record of its batch.
    recorded = Point.RECORDED if query == "sessions" else Point.PUBLISHED
    assert found == [
        Point.BETWEEN, Point.OFFSETS, Point.WRITING, Point.WRITING, Point.STAGED, Point.PUBLISHED, recorded,
        Point.BETWEEN,
    ]  # fmt: skip


def test_before_the_first_start_nothing_is_under_way(tmp_path):
    assert [files.point() for files in files_of(tmp_path, TOPIC, BUCKET)] == [Point.BETWEEN, Point.BETWEEN]


def test_objects_and_attempts_of_other_batches_do_not_count(tmp_path):
    layout = Layout(tmp_path, "sessions")
    layout.plan()
    layout.write(f"storage/{BUCKET}/sessions/v1/{QUERY_ID}/batch={BATCH + 1:012d}.avro")
    layout.write(f"checkpoint/{TOPIC}-stage/events/{QUERY_ID}/batch={BATCH:012d}/attempt=a/_SUCCESS")
    layout.write(f"checkpoint/{TOPIC}-stage/sessions/{QUERY_ID}/batch={BATCH - 1:012d}/attempt=a/_SUCCESS")
    assert layout.point() is Point.OFFSETS


def test_a_log_file_that_spark_is_writing_is_no_batch_yet(tmp_path):
    layout = Layout(tmp_path, "sessions")
    layout.write(f"checkpoint/{TOPIC}/sessions/offsets/.{BATCH}.6f2b.tmp")
    assert layout.point() is Point.BETWEEN


def test_the_first_query_at_the_wanted_point_is_named(tmp_path):
    sessions, archive = Layout(tmp_path, "sessions"), Layout(tmp_path, "archive")
    sessions.plan()
    archive.plan()
    archive.publish()
    both = (sessions.files(), archive.files())
    assert wait_for(Point.PUBLISHED, both, 10) == archive.files()
    assert wait_for(Point.OFFSETS, both, 10) == sessions.files()
    assert wait_for(Point.STAGED, both, 0.01) is None


@pytest.mark.spark
def test_a_real_query_lays_its_files_out_so(spark, tmp_path):
    run = topic.Run(spark, tmp_path / "run")
    run.root.mkdir()
    run.send(topic.pageview(topic.at("10:00")), topic.beat(topic.at("23:00")))
    run.drain_sessions()
    (tmp_path / "state" / "checkpoint").mkdir(parents=True)
    (tmp_path / "state" / "storage").mkdir()
    (run.root / "checkpoint").rename(tmp_path / "state" / "checkpoint" / TOPIC)
    (run.root / "stage").rename(tmp_path / "state" / "checkpoint" / f"{TOPIC}-stage")
    (run.root / "bucket").rename(tmp_path / "state" / "storage" / BUCKET)
    files = files_of(tmp_path / "state", TOPIC, BUCKET)[0]
    last = max(int(path.name) for path in (files.checkpoint / "offsets").glob("[0-9]*"))
    found = [files.point()]
    (files.checkpoint / "commits" / str(last)).unlink()
    found.append(files.point())
    for record in files.bucket.glob(f"batches/v1/*/batch={last:012d}.json"):
        record.unlink()
    found.append(files.point())
    for published in files.bucket.glob(f"sessions/v1/*/batch={last:012d}.avro"):
        published.unlink()
    found.append(files.point())
    assert found == [Point.BETWEEN, Point.RECORDED, Point.PUBLISHED, Point.OFFSETS]
