"""The job's benchmark: the same topic each time, rows compared as they must be, ratios that mean what they say."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import fastavro
import polars
import pytest

from bench.job import report
from bench.job.check import check
from bench.job.programs import BATCHED, PROGRAMS, Run, environment, published
from bench.job.reap import tree
from bench.job.report import ratios, worse
from bench.job.run import take_turns
from bench.job.topic import CLOSING, PARTITIONS, WINDOW_MS, Expected, Hit, Session, digest, messages
from local.job import wait_until
from local.processes import listens

ROOT = Path(__file__).parents[2]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
ROWS = {
    "type": "record", "name": "row", "fields": [
        {"name": "uiud", "type": "string"}, {"name": "sessionId", "type": "string"},
        {"name": "window_start", "type": MICROS},
        *[{"name": name, "type": {"type": "array", "items": "string"}}
          for name in ("Pages", "referrer", "LandingPageCode")],
        {"name": "sessionTimestamps",
         "type": {"type": "array", "items": MICROS}},
    ],
}  # fmt: skip
HITS = [Hit(WINDOW_MS + 5, "/b", "direct", "0"), Hit(WINDOW_MS + 4, "/a", "direct", "1")]


def to_row(hits, *, uiud="u", start_ms=WINDOW_MS):
    return {
        "uiud": uiud, "sessionId": "s", "window_start": EPOCH + timedelta(milliseconds=start_ms),
        "Pages": [hit.page_url for hit in hits], "referrer": [hit.referrer for hit in hits],
        "LandingPageCode": [hit.landing_page for hit in hits],
        "sessionTimestamps": [EPOCH + timedelta(milliseconds=hit.at_ms) for hit in hits],
    }  # fmt: skip


def write(file, *rows, schema=ROWS, codec="null"):
    """Every row is in a block of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        fastavro.writer(out, schema, rows, codec=codec, sync_interval=1)


def expected(hits):
    made = Expected()
    for hit in hits:
        made.add(Session("u", "s", 0), hit, hit.at_ms)
    return made.close()


def test_the_topic_is_byte_for_byte_the_same_and_its_end_closes_each_partition():
    first, again = (list(messages(3, 2_000, Expected())) for _ in range(2))
    assert first == again
    assert [message.partition for message in first[-PARTITIONS:]] == list(range(PARTITIONS))
    assert {message.key for message in first[-PARTITIONS:]} == {CLOSING.encode()}
    assert list(messages(4, 2_000, Expected())) != first


def test_every_pageview_is_expected_once():
    rows = Expected()
    sent = [json.loads(m.value) for m in messages(3, 2_000, rows) if m.value.startswith(b'{"timestamp"')]
    real = [each for each in sent if each["uiud"] != CLOSING and not each["uiud"].startswith("late-")]
    assert rows.close()["pageviews"] == 2_000 == len({each["eventId"] for each in real})


def test_rows_are_compared_whatever_their_files_and_their_order(tmp_path):
    write(tmp_path / "part" / "a.avro", to_row(HITS[::-1]))
    write(tmp_path / "b", to_row([HITS[0]], uiud=CLOSING))
    write(tmp_path / "_temporary" / ".c", to_row(HITS))
    found = check(tmp_path)
    assert {name: found[name] for name in ("rows", "pageviews", "digest")} == expected(HITS)


def test_a_file_without_rows_adds_none(tmp_path):
    write(tmp_path / "a.avro", to_row(HITS))
    before = check(tmp_path)
    write(tmp_path / "empty.avro", codec="snappy")
    assert check(tmp_path) == before


def test_every_block_of_a_file_is_read_once(tmp_path):
    visitors = [f"v{number}" for number in range(5)]
    write(tmp_path / "a.avro", *[to_row(HITS, uiud=visitor) for visitor in visitors])
    with (tmp_path / "a.avro").open("rb") as file:
        assert len(list(fastavro.block_reader(file))) == 5
    total = sum(digest(visitor, "s", WINDOW_MS, HITS) for visitor in visitors) % 2**96
    found = check(tmp_path)
    assert (found["rows"], found["pageviews"], found["digest"]) == (5, 10, f"{total:024x}")


@pytest.mark.parametrize("time", [{"type": "long", "logicalType": "timestamp-millis"}, "long"], ids=str)
def test_times_in_milliseconds_say_the_same(tmp_path, time):
    row = to_row(HITS[::-1])
    if time == "long":
        row |= {"window_start": WINDOW_MS, "sessionTimestamps": [hit.at_ms for hit in HITS[::-1]]}
    write(tmp_path / "a.avro", row, schema=json.loads(json.dumps(ROWS).replace(json.dumps(MICROS), json.dumps(time))))
    assert check(tmp_path)["digest"] == expected(HITS)["digest"]


@pytest.mark.parametrize("may_be_null", [False, True])
def test_hits_as_records_say_the_same(tmp_path, may_be_null):
    names = ("at", "pageUrl", "referrer", "landingPage")
    fields = [{"name": name, "type": "long" if name == "at" else "string"} for name in names]
    hits = {"type": "array", "items": ["null", {"type": "record", "name": "hit", "fields": fields}]}
    schema = {**ROWS, "fields": [*ROWS["fields"][:3], {"name": "hits", "type": hits}]}
    schema = ["null", schema] if may_be_null else schema
    rows = [to_row(HITS) | {"hits": [dict(zip(names, hit, strict=True)) for hit in HITS]}, to_row([]) | {"hits": []}]
    write(tmp_path / "a.avro", *rows, schema=schema)
    found = check(tmp_path)
    total = digest("u", "s", WINDOW_MS, HITS) + digest("u", "s", WINDOW_MS, [])
    assert (found["rows"], found["pageviews"], found["digest"]) == (2, 2, f"{total % 2**96:024x}")


def test_a_page_in_the_next_row_is_no_hit_of_it(tmp_path):
    """Of all rows together the lists are as long as each other."""
    long, short = to_row(HITS), to_row(HITS, uiud="v")
    long["Pages"].append(short["Pages"].pop())
    write(tmp_path / "a.avro", long, to_row([], uiud="w"), short, to_row([], uiud="x"))
    with pytest.raises(polars.exceptions.ShapeError):
        check(tmp_path)


WRONG = {
    "a hit less": (HITS[:1], {}),
    "a hit twice": ([*HITS, HITS[0]], {}),
    "another window": (HITS, {"start_ms": 2 * WINDOW_MS}),
    "another visitor": (HITS, {"uiud": "v"}),
    "a page changed": ([HITS[0], HITS[1]._replace(page_url="/c")], {}),
}


@pytest.mark.parametrize(("hits", "place"), WRONG.values(), ids=WRONG)
def test_a_row_that_differs_is_found(tmp_path, hits, place):
    write(tmp_path / "a.avro", to_row(hits, **place))
    assert check(tmp_path)["digest"] != expected(HITS)["digest"]


def test_two_equal_rows_do_not_cancel_out():
    assert 2 * digest("u", "s", 0, HITS) % 2**96 != 0


class Turns:
    """Programs that are run in turn, interrupted in the run with the number `end`."""

    def __init__(self, end):
        self.end, self.names = end, []

    def __call__(self, name):
        if len(self.names) == self.end:
            raise KeyboardInterrupt
        self.names.append(name)
        cost = {"right": True, "marginal_cpu_s": 1.0, "marginal_pageviews_s": 1.0}
        return {**cost, "long": {"cpu_s": 1.0, "wall_s": 1.0}, "number": len(self.names)}


def test_every_other_round_is_in_the_opposite_order():
    turns = Turns(end=None)
    found = take_turns(["a", "b"], 3, turns)
    assert turns.names == ["a", "b", "b", "a", "a", "b"]
    assert [[each["number"] for each in found[name]] for name in ("a", "b")] == [[1, 4, 5], [2, 3, 6]]


def test_interrupted_the_rounds_before_count():
    found = take_turns(["a", "b"], 3, Turns(end=3))
    assert [[each["number"] for each in found[name]] for name in ("a", "b")] == [[1], [2]]
    with pytest.raises(KeyboardInterrupt):
        take_turns(["a", "b"], 3, Turns(end=1))


def test_the_published_script_is_given_no_more_than_it_says(tmp_path):
    run = Run("127.0.0.1:9", "topic", tmp_path, environment(dict(os.environ)))
    printed = [*published(run)[:2], "printenv"]
    given = subprocess.run(printed, env=dict(run.environ), capture_output=True, text=True, check=True).stdout
    assert "PYTHONPATH=" in given
    assert "GLIBC_TUNABLES" in run.environ
    assert "GLIBC_TUNABLES" not in given


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_limit_to_a_batch_is_every_batched_programs(name, tmp_path):
    def words(batch):
        return PROGRAMS[name](Run("127.0.0.1:9", "topic", tmp_path, environment(dict(os.environ)), batch))

    flag = ["--max-offsets-per-trigger", "70000"] if name in BATCHED else []
    assert words(70_000) == [*words(None), *flag]


def runs(*cpu_s):
    return [{"marginal_cpu_s": each} for each in cpu_s]


def test_a_ratio_is_of_one_round():
    assert ratios(runs(10, 40), runs(20, 20)) == [2.0, 0.5]


WARNS = {"as recorded": (10, False), "a quarter worse": (12.5, False), "more": (12.6, True), "better": (5, False)}


@pytest.mark.parametrize(("cpu_s", "warns"), WARNS.values(), ids=WARNS)
def test_a_ratio_that_became_worse_is_told(cpu_s, warns):
    recorded = {"ours": runs(10, 10), "flink": runs(10, 10)}
    told = worse({"ours": runs(cpu_s), "flink": runs(10)}, recorded)
    assert bool(told) is warns
    assert all("flink, recorded is 1.00x" in line for line in told)


@pytest.mark.parametrize("batch", [None, 200_000])
def test_runs_with_another_limit_to_a_batch_are_not_compared(batch, tmp_path, capsys):
    def figures(cpu_s, limit):
        run = {"right": True, "pageviews": 2, "warm_up": 1, "marginal_pageviews_s": 1, "long": {"peak_bytes": 1}}
        programs = {name: [{**run, "marginal_cpu_s": each}] for name, each in (("ours", cpu_s), ("published", 80))}
        return {"programs": programs, "batch": limit}

    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps(figures(8, None)))
    assert report.report(figures(16, batch), json_file=None, chart=None, against=recorded) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ("recorded is 10.00x" in told) is (batch is None)
    assert ("nothing is compared" in told) is (batch is not None)
    assert ("batches of 200,000 messages at most" in told) is (batch is not None)


REFUSED = {
    "no such program": (["--programs", "ours,flnk"], "did you mean flink?"),
    "no such part": (["jbo"], "did you mean job?"),
    "two parts": (["job", "job"], "PART: want one of job"),
    "a part after its flags": (
        ["--rounds", "2", "tag"],
        "tag: comes first; webevents bench tag --help lists its flags",
    ),
    "a flag of no part": (["steady", "--rates", "5"], "unrecognized arguments: --rates 5"),
    "a part that is no number": (["--programs", "ours,quix:x"], "want a whole number from 1, got 'x'"),
    "a part without pageviews": (["--programs", "ours,quix:9", "--warm-up", "8"], "quix:9 leaves nothing of the 8"),
    "a limit for none": (["--programs", "limit", "--max-offsets-per-trigger", "9"], "none reads in batches, as ours,"),
    "a warm-up as long as the topic": (["--pageviews", "5", "--warm-up", "5"], "--warm-up: want fewer than"),
}


@pytest.mark.parametrize(("flags", "told"), REFUSED.values(), ids=REFUSED)
def test_a_flag_at_fault_is_one_sentence(flags, told, tmp_path):
    done = bench(*flags, "--state", str(tmp_path / "state"))
    assert (done.returncode, done.stdout) == (78, "")
    assert told in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.stack
@pytest.mark.spark
@pytest.mark.slow
def test_a_small_run_has_the_expected_rows(tmp_path):
    out = tmp_path / "figures.json"
    small = ["--pageviews", "90000", "--warm-up", "30000", "--rounds", "1", "--programs", "ours,limit,limit:4"]
    done = bench(*small, "--state", str(tmp_path / "state"), "--json", str(out))
    print(done.stdout, done.stderr[-2000:])
    assert done.returncode == 0
    figures = json.loads(out.read_text())
    assert {
        name: (each[0]["right"], each[0]["pageviews"], each[0]["warm_up"]) for name, each in figures["programs"].items()
    } == {
        "ours": (True, 90_000, 30_000), "limit": (True, 90_000, 30_000), "limit:4": (True, 22_500, 7_500),
    }  # fmt: skip
    assert "limit:4: of 22,500 pageviews, the first 7,500 taken off" in " ".join(done.stdout.split())


@pytest.mark.stack
def test_a_part_that_is_ended_ends_its_broker(tmp_path):
    command = [sys.executable, "cli.py", "bench", "growth", "--sizes", "100000000", "--state", str(tmp_path)]
    part, left = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), []
    try:
        properties = tmp_path / "broker" / "kafka" / "server.properties"
        wait_until(lambda: properties.exists() and listens(port_of(properties)), timeout_s=60, what="a broker")
        assert part.poll() is None
        left = [pid for pid in tree(part.pid) if pid != part.pid]
        part.terminate()
        assert (part.wait(30), bool(left)) == (130, True)
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
    finally:
        for pid in (part.pid, *left):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def port_of(properties):
    found = re.search(r"CLIENTS://[^:]+:(\d+)", properties.read_text())
    return int(found[1]) if found else 0


def bench(*flags):
    command = [sys.executable, "cli.py", "bench", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
