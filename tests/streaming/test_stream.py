"""The two queries as streams: what is late, what a replay does, what a batch leaves behind."""

import json
import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fastavro
import pytest
from pyspark.sql import DataFrame, SparkSession

from contract.names import Kind, parse_object_name
from streaming.publish import fingerprint
from streaming.storage import to_path
from streaming.transform import to_chunks, to_closed
from tests.streaming.topic import Run, at, beat, messages, pageview, sessions

pytestmark = pytest.mark.spark

CLOSE_ALL = beat(at("23:00"))


@pytest.fixture
def run(spark: SparkSession, tmp_path: Path) -> Run:
    return Run(spark, tmp_path)


def event_ids(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(event for row in rows for event in row["eventIds"])


def watermarks(progress: list[dict[str, Any]]) -> list[int]:
    times = [datetime.fromisoformat(report["eventTime"]["watermark"].replace("Z", "+00:00")) for report in progress]
    return [round(time.astimezone(timezone.utc).timestamp() * 1000) for time in times]


def test_the_plan_parses_once_and_filters_above_the_watermark_only(run: Run) -> None:
    run.send(pageview(at("10:00")))
    chunks = to_chunks(run.source(), window_s=1800)
    chunks = chunks.withWatermark("eventAt", "200 seconds")
    plans: list[str] = []

    def look(frame: DataFrame, batch_id: int) -> None:
        frame.write.format("noop").mode("overwrite").save()
        plans.append(str(query._jsq.streamingQuery().lastExecution().executedPlan().toString()))

    writer = to_closed(chunks, window_s=1800).writeStream.foreachBatch(look)
    query = writer.option("checkpointLocation", (run.root / "plan").as_uri()).trigger(availableNow=True).start()
    query.awaitTermination()
    above, below = plans[0].split("EventTimeWatermark", 1)
    assert plans[0].count("from_json") == 1
    assert "from_json" in below
    assert "Filter isnotnull(eventAt" in above
    assert "- Filter" not in below


@pytest.mark.parametrize(
    ("behind_s", "counted"), [(199, True), (201, False)], ids=["199 s behind counts", "201 s behind is late"]
)
def test_the_last_second_of_a_window_is_late_from_201_s_behind_the_newest_event(
    run: Run, behind_s: int, counted: bool
) -> None:
    newest = at("10:29:59") + behind_s * 1000
    run.send(pageview(newest, eventId="newest"))
    run.send(pageview(newest, eventId="newest again"))
    run.send(pageview(at("10:29:59"), eventId="slow"))
    run.send(CLOSE_ALL)
    progress = run.drain_sessions()
    assert ("slow" in event_ids(run.rows())) is counted
    assert sum(report["stateOperators"][0]["numRowsDroppedByWatermark"] for report in progress) == (not counted)


def test_what_comes_in_the_batch_that_closes_its_window_still_counts(run: Run) -> None:
    run.send(pageview(at("11:00"), eventId="newest"))
    run.send(pageview(at("10:29:59"), eventId="in the next batch"))
    run.send(pageview(at("10:29:59"), eventId="one batch too late"))
    run.send(CLOSE_ALL)
    run.drain_sessions()
    assert event_ids(run.rows()) == ["in the next batch", "newest"]


def test_the_records_tell_exactly_which_messages_spark_dropped(run: Run) -> None:
    chance = random.Random(3)
    sent: dict[str, tuple[int, int]] = {}
    for batch in range(6):
        times = [at("10:00") + (batch * 900 + chance.randrange(-2400, 600)) * 1000 for _ in range(8)]
        names = [f"e{batch}-{i}" for i in range(len(times))]
        run.send(*[pageview(time, eventId=name, uiud=name) for time, name in zip(times, names, strict=True)])
        sent |= {name: (batch, time) for name, time in zip(names, times, strict=True)}
    run.send(CLOSE_ALL)
    progress = run.drain_sessions()
    records = run.records()
    late = {
        name
        for name, (batch, time) in sent.items()
        if (time // 1_800_000 + 1) * 1_800_000 <= records[batch]["lateWatermarkMs"]
    }
    assert 0 < len(late) < len(sent)
    assert set(event_ids(run.rows())) == set(sent) - late
    assert sum(report["stateOperators"][0]["numRowsDroppedByWatermark"] for report in progress) == len(late)
    assert [record["watermarkMs"] for record in records] == watermarks(progress)
    assert [record["lateWatermarkMs"] for record in records] == [0, *(r["watermarkMs"] for r in records[:-1])]


def test_a_heartbeat_closes_the_last_window_and_is_in_no_table(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="only"))
    run.drain_sessions()
    assert run.objects("sessions/") == []
    run.send(CLOSE_ALL)
    run.drain_sessions()
    run.drain_archive()
    assert event_ids(run.rows()) == ["only"]
    assert [row["eventId"] for row in run.rows("events")] == ["only"]
    assert run.objects("bad/") == []


def test_a_refused_message_moves_no_watermark_and_stops_nothing(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="first"))
    ahead = round(datetime(2015, 5, 18, 0, 1, 0, 1000, tzinfo=timezone.utc).timestamp() * 1000)
    run.send(pageview(ahead), pageview(ahead, uiud=""), beat(ahead), b"junk", None)
    run.send(pageview(at("10:01"), eventId="second"))
    assert max(watermarks(run.drain_sessions())) == at("10:01") - 200_000
    run.drain_archive()
    assert [row["reason"] for row in run.rows("bad")] == [
        "timestamp_in_future", "missing_uiud", "undecodable", "undecodable",
    ]  # fmt: skip
    assert [row["payload"] for row in run.rows("bad")][2:] == [b"junk", b""]


def test_a_replayed_batch_publishes_nothing_again_and_writes_its_state(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="closed"), pageview(at("11:00"), eventId="open"))
    run.send(pageview(at("10:59"), eventId="open too"))
    run.drain_sessions()
    before = {name: (run.root / "bucket" / name).stat().st_mtime_ns for name in run.objects()}
    last = run.records()[-1]
    assert last["object"] in before
    run.forget_commit("sessions", last["batchId"])
    # The state that the batch wrote is gone as well: only a replay that runs the whole plan brings it back.
    for version in (run.root / "checkpoint/sessions/state/0").glob(f"*/*{last['batchId'] + 1}.changelog*"):
        version.unlink()
    run.send(pageview(at("11:02"), eventId="after"), CLOSE_ALL)
    run.drain_sessions()
    after = {name: (run.root / "bucket" / name).stat().st_mtime_ns for name in run.objects()}
    assert before.items() <= after.items(), "an object that is there is not touched"
    assert event_ids(run.rows()) == ["after", "closed", "open", "open too"]


def test_a_crash_between_object_and_record_is_made_good_by_the_replay(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="a"), pageview(at("11:00"), eventId="b"))
    run.drain_sessions()
    (published,) = run.objects("sessions/")
    record = f"batches/v1/{published.removeprefix('sessions/v1/').replace('.avro', '.json')}"
    told = (run.root / "bucket" / record).read_bytes()
    (run.root / "bucket" / record).unlink()
    run.forget_commit("sessions", int(told and json.loads(told)["batchId"]))
    run.drain_sessions()
    assert (run.root / "bucket" / record).read_bytes() == told
    assert run.objects("sessions/") == [published]


def test_a_replay_under_another_number_of_files_publishes_nothing_again(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="a"), pageview(at("11:00"), eventId="b"))
    run.drain_sessions()
    run.forget_commit("sessions", run.records()[-1]["batchId"])
    run.files_per_batch = 3
    run.drain_sessions()
    assert len(run.objects("sessions/")) == 1
    assert run.objects("parts/") == []


def test_a_replayed_archive_batch_makes_good_only_what_is_missing(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="a"), b"junk")
    run.drain_archive()
    before = run.objects()
    (bad,) = run.objects("bad/")
    (run.root / "bucket" / bad).unlink()
    run.forget_commit("archive", 0)
    run.drain_archive()
    assert run.objects() == before
    assert [len(run.rows("events")), len(run.rows("bad"))] == [1, 1]


@pytest.mark.parametrize("files", [1, 3])
def test_a_batch_with_refused_messages_reads_the_topic_once(run: Run, files: int) -> None:
    run.files_per_batch = files
    plain = [pageview(at("10:00"), eventId=f"e{number}") for number in range(5)]
    run.send(*plain, b"junk", beat(at("10:00")), pageview(at("10:00")), b"more")
    assert [report["numInputRows"] for report in run.drain_archive()] == [9]
    told = run.gate.results["archive", 0]
    assert {name: told[name] for name in ("rowsIn", "rowsOut", "refused")} == {"rowsIn": 9, "rowsOut": 6, "refused": 2}
    written = [row for name in run.objects() if name.endswith(".avro") for row in run.read(name)]
    assert sorted(row["kafkaOffset"] for row in written if "payload" in row) == [5, 8]
    assert sorted(row["kafkaOffset"] for row in written if "payload" not in row) == [0, 1, 2, 3, 4, 7]
    assert run.spark.sparkContext._jsc.getPersistentRDDs().size() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [[beat(at("10:00"))], []], ids=["a heartbeat", "offsets without a message"])
def test_an_empty_batch_publishes_no_object_but_its_record(run: Run, values: list[bytes]) -> None:
    run.send(*values)
    run.drain_sessions()
    run.drain_archive()
    assert {name.split("/")[0] for name in run.objects()} == {"batches"}
    assert [(r["object"], r["rows"], r["pageviews"]) for r in run.records()] == [(None, 0, 0)] * len(run.records())


def test_a_new_checkpoint_takes_other_names(spark: SparkSession, run: Run, tmp_path: Path) -> None:
    run.send(pageview(at("10:00"), eventId="a"), CLOSE_ALL)
    run.drain_sessions()
    (run.root / "checkpoint").rename(run.root / "old checkpoint")
    run.drain_sessions()
    names = [parse_object_name(name) for name in run.objects("sessions/")]
    assert len({name.query_id for name in names if name}) == 2
    assert len({row["batchKey"] for row in run.rows()}) == 2


def test_rows_carry_their_batch_and_the_contracts_schema(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="a"), CLOSE_ALL)
    run.drain_sessions()
    (name,) = run.objects("sessions/")
    described = parse_object_name(name)
    assert described is not None
    assert [row["batchKey"] for row in run.rows()] == [described.batch_key]
    with (run.root / "bucket" / name).open("rb") as file:
        reader = fastavro.reader(file)
        written = reader.writer_schema
    assert written["name"].endswith("Session")
    assert reader.codec == "snappy"
    (record,) = [record for record in run.records() if record["object"]]
    assert (record["object"], record["rows"], record["pageviews"]) == (name, 1, 1)


def test_large_batches_become_one_manifest_over_all_their_files(run: Run) -> None:
    run.files_per_batch = 2
    run.send(*[pageview(at("10:00"), uiud=f"u{i}", eventId=f"e{i}") for i in range(20)], CLOSE_ALL)
    run.drain_sessions()
    (name,) = run.objects("sessions/")
    assert name.endswith(".manifest.json")
    told = json.loads((run.root / "bucket" / name).read_bytes())
    parts = run.objects("parts/")
    assert [to_path(uri) for uri in told["uris"]] == [run.root / "bucket" / part for part in parts]
    assert told["rows"] == 20
    assert told["schema"] == fingerprint(Kind.SESSIONS)
    assert event_ids([row for part in parts for row in run.read(part)]) == sorted(f"e{i}" for i in range(20))
    (run.root / "bucket" / name).unlink()
    run.forget_commit("sessions", int(name.split("batch=")[1][:12]))
    run.drain_sessions()
    assert run.objects("sessions/") == [name]
    assert len(run.objects("parts/")) == len(parts), "the parts of the attempt that never got its manifest are gone"
    assert not set(run.objects("parts/")) & set(parts)


def test_no_attempt_is_left_behind(run: Run) -> None:
    run.send(pageview(at("10:00"), eventId="a"), CLOSE_ALL, b"junk")
    run.drain_sessions()
    run.drain_archive()
    assert [path for path in (run.root / "stage").rglob("*") if path.is_file()] == []
    query_id = run.records()[0]["queryId"]
    dead = run.root / "stage" / "sessions" / query_id / "batch=000000000009" / "attempt=x"
    dead.mkdir(parents=True)
    run.publisher("sessions", Kind.SESSIONS)
    assert not dead.exists()


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_arrival_within_the_delay_gives_the_rows_of_one_batch(
    spark: SparkSession, run: Run, seed: int
) -> None:
    chance = random.Random(seed)
    events = [(at("10:00") + chance.randrange(5_400_000), f"e{i}") for i in range(60)]
    arrivals = sorted(
        (time + chance.randrange(199_000), time, name) for time, name in events for _ in range(chance.choice((1, 1, 2)))
    )
    values = [
        pageview(time, eventId=name, uiud=f"u{int(name[1:]) % 5}", pageUrl=f"/{name}") for _, time, name in arrivals
    ]
    size = chance.randrange(20, 30)
    for start in range(0, len(values), size):
        run.send(*values[start : start + size])
    run.send(CLOSE_ALL)
    run.drain_sessions()
    streamed = [{key: value for key, value in row.items() if key != "batchKey"} for row in run.rows()]
    once = run.root / "once"
    sessions(messages(spark, values)).coalesce(1).write.format("avro").save(once.as_uri())
    (file,) = once.glob("*.avro")
    with file.open("rb") as opened:
        batch = list(fastavro.reader(opened))
    key = json.dumps
    assert sorted(streamed, key=lambda row: key(row, default=str)) == sorted(
        batch, key=lambda row: key(row, default=str)
    )
    assert len(event_ids(streamed)) == len(events)
