"""The steady run: pageviews as the contract has them, thirds that show growth, windows compared with what was sent."""

import json
import random
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import fastavro
import pytest

from bench.job import arrivals, steady
from bench.job.topic import Expected, messages

ROOT = Path(__file__).parents[2]
WINDOW = {
    "type": "record", "name": "row", "fields": [
        {"name": "window_start", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "Pageviews", "type": "long"},
    ],
}  # fmt: skip


def message():
    rng = random.Random(1)
    visitor, body = next(arrivals.make_visitors(rng, 10)), next(arrivals.make_bodies(rng))
    return arrivals.make_message(1_793_491_200_123, visitor, body, 7)


def test_a_message_has_the_fields_and_about_the_length_of_the_rounds_messages():
    rounds = [m.value for m in islice(messages(1, 3_000, Expected()), 3_000) if m.value.startswith(b'{"timestamp"')]
    mean = sum(map(len, rounds)) / len(rounds)
    assert json.loads(message()).keys() == json.loads(rounds[0]).keys()
    assert json.loads(message())["timestamp"] == "2026-11-01 00:00:00.123"
    assert 1 <= len(message()) / mean < 1.15, "no shorter, not much longer"


def test_every_visitor_is_another_and_all_are_as_long():
    visitors = list(arrivals.make_visitors(random.Random(1), 500))
    assert len(set(visitors)) == 500 and len({len(visitor) for visitor in visitors}) == 1
    assert len({json.loads(b"{%s}" % visitor.rstrip(b","))["uiud"] for visitor in visitors}) == 500


def test_a_hot_visitor_has_its_share_and_the_others_the_rest_alike():
    drawn = Counter(random.Random(1).choices(range(10), cum_weights=arrivals.make_shares(10, 0.4), k=20_000))
    assert abs(drawn[0] / 20_000 - 0.46) < 0.02
    assert all(abs(drawn[other] / 20_000 - 0.06) < 0.01 for other in range(1, 10))


@pytest.mark.parametrize("hot", ["1", "-0.1"])
def test_a_share_that_is_none_is_refused(hot, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["steady", "--hot", hot])
    with pytest.raises(SystemExit):
        steady.main()
    assert "--hot: want 0 or more and less than 1" in capsys.readouterr().err


@pytest.mark.parametrize(("values", "wanted"), [(range(1, 101), 100), (range(1, 201), 199), ([7], 7)])
def test_p99_has_one_in_a_hundred_above_it_at_most(values, wanted):
    found = steady.p99(list(values))
    assert found == wanted and sum(value > found for value in values) <= len(values) / 100


def test_thirds_have_every_value_once_and_in_order():
    for size in range(8):
        assert [value for third in steady.thirds(list(range(size))) for value in third] == list(range(size))


def test_a_query_is_behind_by_what_is_in_none_of_its_batches():
    batches = [
        {"query": "sessions", "rowsIn": 7},
        {"query": "archive", "rowsIn": 3},
        {"query": "sessions", "rowsIn": 2},
    ]
    assert steady.to_behind(batches, 10) == {"archive": 7, "sessions": 1}


def test_cores_are_processor_seconds_between_samples():
    samples = [{"second": 5.0, "cpu_s": 10.0}, {"second": 10.0, "cpu_s": 15.0}, {"second": 14.0, "cpu_s": 17.0}]
    assert steady.cores(samples) == [1.0, 0.5]


def test_windows_are_summed_over_files(tmp_path):
    start = datetime(2026, 11, 1, tzinfo=timezone.utc)
    for name, counts in (("a", (1, 2)), ("b", (4,))):
        with (tmp_path / name).open("wb") as out:
            fastavro.writer(out, WINDOW, [{"window_start": start, "Pageviews": count} for count in counts])
    assert steady.read_windows(tmp_path) == {1_793_491_200_000: 7}


def test_a_run_that_the_disk_has_no_room_for_is_refused_before_it_begins(tmp_path, capsys, monkeypatch):
    words = ["--rate", "1000000000000", "--seconds", "4", "--state", str(tmp_path / "state")]
    monkeypatch.setattr(sys, "argv", ["steady", *words])
    monkeypatch.setattr(steady, "serving", lambda *_: pytest.fail("it began"))
    with pytest.raises(SystemExit):
        steady.main()
    told = capsys.readouterr().err
    assert "--state: want 1000000.0 GB free for 4,000,000,000,000 pageviews" in told and "fewer --seconds" in told


@pytest.mark.stack
@pytest.mark.spark
@pytest.mark.slow
def test_a_short_run_keeps_up_and_every_closed_window_has_what_was_sent_in_it(tmp_path):
    out = tmp_path / "figures.json"
    flags = {"--rate": 2000, "--seconds": 45, "--visitors": 500, "--window-seconds": 5, "--watermark-seconds": 5,
             "--trigger": 2, "--state": tmp_path / "state", "--json": out}  # fmt: skip
    words = [str(word) for pair in flags.items() for word in pair]
    command = [sys.executable, "-m", "bench.job.steady", "--archive", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    print(done.stdout, done.stderr[-2000:])
    assert done.returncode == 0
    found = json.loads(out.read_text())
    assert len(found["windows"]) >= 3 and all(sent == kept > 0 for sent, kept in found["windows"].values())
    assert sum(batch["rows_in"] for batch in found["batches"]) == found["sent"] > 60_000
    assert sum(batch["rows_out"] for batch in found["batches"]) >= 3 * 500
    assert all(sample["java_bytes"] > 2**20 for sample in found["samples"][1:])
