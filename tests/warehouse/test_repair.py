"""Late pageviews are appended once, whoever repairs, how often, and wherever it is killed."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden

from cloud_functions.load import job_config
from contract.failures import ConfigError, TransientError
from contract.names import CORRECTIONS, BatchObject, Kind, parse_object_name, record_name
from tests.oracle import COLUMNS, Message, dump, judge
from tests.warehouse.conftest import at, event
from warehouse import corrections
from warehouse import repair as repairs
from warehouse.reconcile import main
from warehouse.repair import Repair, repair
from warehouse.tables import Tables

pytestmark = pytest.mark.stack
IN_TIME, LATE, AFTER = range(0, 100), range(100, 1000), range(1000, 2000)
"""Offsets: read in time; read when every window up to 11:00 was closed; not read by any batch."""


def to_ms(minutes: float) -> int:
    return int(at(minutes).timestamp() * 1000)


def record(room, batch_id, offsets, *, watermark_ms, late_ms, query="q", window_s=1800):
    """A batch record as the job leaves it."""
    fields = {
        "queryId": query, "batchId": batch_id, "watermarkMs": watermark_ms, "lateWatermarkMs": late_ms,
        "offsets": {"webevent": {"0": [offsets.start, offsets.stop]}}, "object": None, "rows": 0, "pageviews": 0,
        "window_s": window_s, "delay_s": 200,
    }  # fmt: skip
    room.bucket.blob(record_name(query, batch_id)).upload_from_string(json.dumps(fields))


def pageview(event_id: str, minutes: float, **changes: Any) -> dict[str, Any]:
    """A pageview as it lies on the topic."""
    fields = {"eventId": event_id, "timestamp": str(to_ms(minutes)), "uiud": "u", "sessionId": "s"}
    return {**fields, "pageUrl": f"/{event_id}", "eventType": "Pageview", **changes}


def sessions_of(*pageviews: dict[str, Any], window_s=1800, **changes: Any) -> list[dict[str, Any]]:
    """The oracle's rows."""
    messages = [Message(json.dumps(each).encode(), to_ms(60 * 24 * 30)) for each in pageviews]
    return [{**row, **changes} for row in judge(messages, window_ms=window_s * 1000).sessions]


def archive(room, offsets, *pageviews):
    """Put pageviews into the archive, at the first places of `offsets`."""
    rows = []
    for offset, each in zip(offsets, pageviews, strict=False):
        fields = {**each, "timestamp": at((int(each["timestamp"]) - to_ms(0)) / 60_000)}
        rows.append(event(offset=offset, event_id=fields.pop("eventId"), **fields))
    room.load(Kind.EVENTS, *rows)


@pytest.fixture
def stream(room):
    """A stream that has closed every window up to 11:00 and read IN_TIME before, LATE after."""
    record(room, 0, IN_TIME, watermark_ms=to_ms(60), late_ms=0)
    record(room, 1, LATE, watermark_ms=to_ms(60), late_ms=to_ms(60))
    return room


ON_TIME = [pageview("a", 1, landingPage="1", referrer="https://x.example/"), pageview("c", 20)]
TOO_LATE = [
    pageview("b", 10, pageTitle="B", landingPage="1", referrer="https://y.example/"),
    pageview("b2", 10),
    pageview("d", 40, robot=True),
    pageview("d", 40, robot=True),
    pageview("e", 45, uiud="v", landingPage="1", referrer=None),
]


@pytest.fixture
def late(stream):
    """Two pageviews in sessions; four late ones, one of them sent twice; one open; one missing."""
    archive(stream, IN_TIME, *ON_TIME, pageview("gone", 5))
    archive(stream, LATE, *TOO_LATE)
    archive(stream, AFTER, pageview("open", 10))
    stream.load(Kind.SESSIONS, *sessions_of(*ON_TIME, batchKey="q/000000000000"))
    return stream


def tables(room, *days):
    return Tables(room.client, room.dataset, *days)


def load(room, number):
    """Load a correction as the function does."""
    uri = f"gs://{room.bucket.name}/{corrections.correction(number).name}"
    table = f"{room.client.project}.{room.dataset}.sessions"
    room.client.load_table_from_uri(uri, table, job_config=job_config()).result()


def reconcile(room, capsys, *flags):
    """Exit code and what the command says as JSON."""
    code = main(["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, "--json", *flags])
    return code, json.loads(capsys.readouterr().out)


def corrected(room):
    """The rows of corrections in the table."""
    return room.ask("SELECT * FROM `{d}.sessions` WHERE correction > 0")


def appended(room):
    """The eventIds in all objects of corrections."""
    return sorted(each for n in corrections.created(room.bucket) for each in corrections.event_ids(room.bucket, n))


def test_the_rows_are_the_oracles(late):
    done = repair(tables(late), late.bucket)
    load(late, 1)
    assert dump(corrected(late)) == dump(sessions_of(*TOO_LATE, correction=1))
    assert [(each.number, each.rows, each.pageviews) for each in done.made] == [(1, 3, 4)]
    assert {row["batchKey"] for row in corrected(late)} == {"corrections/000000000001"}


def test_hits_of_one_event_id_and_time_count_once_as_the_stream_has_it(stream):
    twins = [pageview("b", 10, pageTitle=title, robot=robot) for title in ("z", None, "y") for robot in (False, True)]
    twins += [pageview("a", 12, pageTitle="A", referrer="r", landingPage="0")]
    archive(stream, LATE, *twins)
    repair(tables(stream), stream.bucket)
    load(stream, 1)
    assert dump(corrected(stream)) == dump(sessions_of(*twins, correction=1))


def test_a_pageview_with_two_times_is_appended_once_at_the_earlier_one(stream):
    archive(stream, LATE, pageview("b", 40), pageview("b", 10), pageview("b", 20, uiud="v"))
    repair(tables(stream), stream.bucket)
    load(stream, 1)
    assert dump(corrected(stream)) == dump(sessions_of(pageview("b", 10), correction=1))


def test_the_window_is_as_long_as_the_query_that_dropped_it_had_it(room):
    record(room, 0, LATE, watermark_ms=to_ms(60), late_ms=to_ms(60), window_s=600)
    archive(room, LATE, pageview("a", 9), pageview("b", 11), pageview("c", 19.99))
    repair(tables(room), room.bucket)
    load(room, 1)
    wanted = sessions_of(pageview("a", 9), pageview("b", 11), pageview("c", 19.99), window_s=600, correction=1)
    assert len(wanted) == 2
    assert dump(corrected(room)) == dump(wanted)


def test_late_turns_into_in_sessions_and_the_line_balances_before_and_after(late, capsys):
    def counts(found):
        return {name: found[name] for name in ("accepted", "pageviews_in_sessions", "late", "open", "missing")}

    before = {"accepted": 8, "pageviews_in_sessions": 2, "late": 4, "open": 1, "missing": ["gone"]}
    code, found = reconcile(late, capsys, "--repair")
    assert (code, counts(found)) == (1, before)
    assert {name: found["repair"][name] for name in ("pageviews", "rows", "open", "lost", "waiting")} == {
        "pageviews": 4, "rows": 3, "open": 1, "lost": 1, "waiting": {},
    }  # fmt: skip
    (made,) = found["repair"]["made"]
    assert made["object"] == f"gs://{late.bucket.name}/sessions/v1/corrections/batch=000000000001.avro"
    load(late, 1)
    after = reconcile(late, capsys)[1]
    assert counts(after) == {**before, "pageviews_in_sessions": 6, "late": 0}
    assert after["twice"] == after["strangers"] == []


def test_before_the_load_a_second_run_adds_nothing_and_says_what_it_waits_for(late, capsys):
    reconcile(late, capsys, "--repair")
    again = reconcile(late, capsys, "--repair")[1]["repair"]
    assert (again["made"], again["waiting"]) == ([], {"1": 4})
    assert appended(late) == ["b", "b2", "d", "e"]


def test_after_the_load_a_second_run_adds_nothing(late):
    repair(tables(late), late.bucket)
    load(late, 1)
    assert repair(tables(late), late.bucket) == Repair(open=1, lost=1)


def test_what_came_late_since_is_the_next_correction(late):
    repair(tables(late), late.bucket)
    archive(late, range(200, 210), pageview("f", 12), pageview("b", 10))
    (made,) = repair(tables(late), late.bucket).made
    load(late, 2)
    load(late, 1)
    assert (made.number, made.pageviews) == (2, 1)
    assert tables(late).twice() == ()
    assert {row["correction"] for row in corrected(late) if "f" in row["eventIds"]} == {2}


def test_the_number_of_a_correction_whose_object_is_gone_is_not_taken_again(late):
    repair(tables(late), late.bucket)
    load(late, 1)
    late.bucket.blob(corrections.correction(1).name).delete()
    archive(late, range(200, 210), pageview("f", 12))
    (made,) = repair(tables(late), late.bucket).made
    assert made.number == 2


class Meanwhile(Tables):
    """Tables that, when asked for rows the first time, let another repair run to its end before they answer."""

    others: list[Repair]

    def rows(self, *args, **kwargs):
        if not Meanwhile.others:
            Meanwhile.others = [Repair()]
            Meanwhile.others = [repair(tables(self), Meanwhile.bucket)]
        return super().rows(*args, **kwargs)


def test_of_two_repairs_at_the_same_time_one_hears_that_the_number_is_taken(late):
    Meanwhile.others, Meanwhile.bucket = [], late.bucket
    done = repair(Meanwhile(late.client, late.dataset), late.bucket)
    assert [each.made for each in Meanwhile.others] != [[]]
    assert (done.made, done.waiting) == ([], {1: 4})
    assert appended(late) == ["b", "b2", "d", "e"]


def test_repairs_that_race_append_each_pageview_once(late):
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: repair(tables(late), late.bucket), range(3)))
    assert appended(late) == ["b", "b2", "d", "e"]
    assert sum(made.pageviews for each in done for made in each.made) == 4


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


def kill(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize("chunk", [1, 20_000], ids=["a correction a pageview", "one correction"])
@pytest.mark.parametrize("step", ["before the rows", "before the object", "after the object"])
def test_killed_anywhere_and_run_again_each_pageview_is_appended_once(late, monkeypatch, step, chunk):
    monkeypatch.setattr(repairs, "PAGEVIEWS_PER_CORRECTION", chunk)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        if step == "before the rows":
            patched.setattr(Tables, "rows", kill)
        elif step == "before the object":
            patched.setattr(corrections, "create", kill)
        else:
            patched.setattr(repairs, "Correction", kill)
        repair(tables(late), late.bucket)
    for number in corrections.created(late.bucket):
        load(late, number)
    repair(tables(late), late.bucket)
    assert appended(late) == ["b", "b2", "d", "e"]


def test_many_late_pageviews_are_several_corrections(late, monkeypatch):
    monkeypatch.setattr(repairs, "PAGEVIEWS_PER_CORRECTION", 3)
    done = repair(tables(late), late.bucket)
    assert [(each.number, each.pageviews) for each in done.made] == [(1, 3), (2, 1)]


def test_a_period_repairs_its_own_days_only(stream):
    record(stream, 2, range(1000, 1100), watermark_ms=to_ms(60 * 24 * 5), late_ms=to_ms(60 * 24 * 5))
    archive(stream, range(1000, 1100), pageview("a", 10), pageview("b", 10 + 60 * 24), pageview("c", 10 + 60 * 48))
    second = date(2026, 1, 3)
    (made,) = repair(tables(stream, second, second), stream.bucket).made
    assert made.pageviews == 1
    assert appended(stream) == ["b"]


def test_a_pageview_that_a_window_across_the_periods_beginning_holds_is_not_appended(room):
    day_ms = to_ms(60 * 24 * 5)
    record(room, 0, LATE, watermark_ms=day_ms, late_ms=day_ms, window_s=7 * 3600)
    archive(room, LATE, pageview("b", 14.5 * 60))
    (row,) = sessions_of(pageview("b", 14.5 * 60), window_s=7 * 3600, batchKey="q/000000000000")
    third = date(2026, 1, 3)
    assert row["window_start"].date() < row["firstSeen"].date() == third
    room.load(Kind.SESSIONS, row)
    assert repair(tables(room, third, third), room.bucket) == Repair()


def test_nothing_is_late(room, capsys):
    flags = ["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, "--repair"]
    assert main(flags) == 0
    assert "repair: nothing to append" in capsys.readouterr().out


def test_the_command_says_what_it_appended(late, capsys):
    main(["--bucket", late.bucket.name, "--project", "local", "--dataset", late.dataset, "--repair"])
    said = capsys.readouterr().out
    name = f"gs://{late.bucket.name}/sessions/v1/corrections/batch=000000000001.avro"
    assert f"repair: appended 4 late pageviews in 3 rows as {name}" in said
    assert "left as they are: 1 open, 1 missing" in said


def test_a_correction_is_named_as_a_batch_that_the_function_loads():
    name = parse_object_name(corrections.correction(7).name)
    assert name is not None
    assert (name.kind, name.query_id, name.batch_id) == (Kind.SESSIONS, CORRECTIONS, 7)


def test_no_leave_to_create_is_one_sentence(room):
    class NoLeave(type(room.bucket.blob("x"))):
        def upload_from_string(self, *_: Any, **__: Any) -> None:
            raise Forbidden("no")

    class Closed(type(room.bucket)):
        def blob(self, name: str, *_: Any, **__: Any) -> NoLeave:
            return NoLeave(name, bucket=self)

    closed = Closed(room.bucket.client, room.bucket.name)
    rows = sessions_of(pageview("a", 1), batchKey="corrections/000000000001")
    with pytest.raises(ConfigError, match=r"roles/storage\.objectCreator"):
        corrections.create(closed, 1, rows)
    corrections.create(room.bucket, 1, rows)
    with pytest.raises(corrections.TakenError):
        corrections.create(closed, 1, rows)
    assert set(COLUMNS) < set(rows[0])


def test_while_an_object_of_sessions_waits_for_its_load_nothing_is_late_yet(late):
    waiting = BatchObject(Kind.SESSIONS, "q", 7).name
    late.bucket.blob(waiting).upload_from_string(b"rows to come")
    with pytest.raises(TransientError, match=f"1 objects of sessions are not loaded yet, {waiting} the first"):
        repair(Tables(late.client, late.dataset), late.bucket)
    assert corrections.created(late.bucket) == set()


def test_a_correction_that_appears_between_the_readings_is_not_appended_twice(late, monkeypatch):
    tables = Tables(late.client, late.dataset)
    listed = corrections.created

    def listed_after_another_run(bucket):
        monkeypatch.setattr(corrections, "created", listed)
        assert repair(tables, bucket).made
        return listed(bucket)

    monkeypatch.setattr(corrections, "created", listed_after_another_run)
    assert repair(tables, late.bucket).made == []
