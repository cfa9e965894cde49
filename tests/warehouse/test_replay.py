"""A period made again from the archive: equal to the stream's rows, and each single fault in the table is found."""

import json
from typing import Any

import pytest

from contract.failures import ConfigError
from contract.names import Kind
from tests.oracle import dump
from tests.warehouse.conftest import at, event
from tests.warehouse.test_repair import archive, load, pageview, record, sessions_of, to_ms
from warehouse.repair import repair
from warehouse.replay import main
from warehouse.tables import Tables

pytestmark = pytest.mark.stack
DAY = ("--from", "2026-01-02", "--to", "2026-01-02")
PAGEVIEWS = [
    pageview("a", 1, landingPage="1", referrer="https://x.example/", pageTitle="A;1,2"),
    pageview("b", 2, robot=True, uiud="v"),
    pageview("c", 2, pageUrl="/ä'\\\"\n", sessionId=""),
    pageview("a", 1, landingPage="1", referrer="https://x.example/", pageTitle="A;1,2"),
    pageview("d", 31),
    pageview("e", 29.9999, landingPage="1", referrer=None),
]
PAGEVIEWS[2]["sessionId"] = "t"


@pytest.fixture
def stream(room):
    """Sessions of one day as the stream has made them: all windows are closed."""
    record(room, 0, range(0, 100), watermark_ms=to_ms(120), late_ms=0)
    archive(room, range(0, 100), *PAGEVIEWS)
    room.load(Kind.EVENTS, event("click", 3, offset=50, eventType="Click"))
    room.load(Kind.SESSIONS, *sessions_of(*PAGEVIEWS, batchKey="q/000000000000"))
    return room


def replay(room, capsys, *flags):
    """Exit code and what the command says as JSON."""
    place = ["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, "--json"]
    code = main([*place, *(flags or DAY)])
    return code, json.loads(capsys.readouterr().out)


def test_the_rows_are_the_oracles_and_nothing_differs(stream, capsys):
    code, found = replay(stream, capsys)
    rows = stream.ask("SELECT * FROM `{d}_replay.sessions`")
    assert dump(rows) == dump(sessions_of(*PAGEVIEWS))
    assert (code, found["equal"], found["leftOut"]) == (0, True, [])
    assert found["live"]["rows"] == found["replayed"]["rows"] == 4
    assert found["live"]["sha256"] == found["replayed"]["sha256"]


def test_a_second_replay_gives_the_same_digest(stream, capsys):
    first = replay(stream, capsys)
    assert replay(stream, capsys) == first


def test_the_digest_does_not_know_the_order_of_the_rows_nor_their_batches(stream, capsys):
    before = replay(stream, capsys)[1]["live"]["sha256"]
    rows = stream.ask("SELECT * FROM `{d}.sessions` ORDER BY uiud DESC, window_start DESC")
    stream.client.query_and_wait(f"TRUNCATE TABLE `{stream.dataset}.sessions`")
    for number, row in enumerate(rows):
        stream.load(Kind.SESSIONS, {**row, "batchKey": f"q/{number:012d}"})
    assert replay(stream, capsys)[1]["live"]["sha256"] == before


FAULTS = [
    "Pages = ARRAY_REVERSE(Pages)",
    "eventIds = ARRAY_REVERSE(eventIds)",
    "sessionTimestamps = ARRAY_REVERSE(sessionTimestamps)",
    "referrer = ['', 'x']",
    "LandingPageCode = ['0', '1']",
    "pageTitles = ['A;1', '2']",
    "Pageviews = 3",
    "window_end = TIMESTAMP_ADD(window_end, INTERVAL 1 MICROSECOND)",
    "firstSeen = TIMESTAMP_SUB(firstSeen, INTERVAL 1 MICROSECOND)",
    "lastSeen = TIMESTAMP_ADD(lastSeen, INTERVAL 1 MICROSECOND)",
    "entryPage = ''",
    "exitPage = ''",
    "landingReferrer = NULL",
    "robot = TRUE",
]


def of_visitors(name: str, minutes: tuple[float, float]) -> list[dict[str, Any]]:
    """Two pageviews of each of as many visitors as there are faults, and of one more, whose row is left right."""
    landing = {"landingPage": "1", "referrer": "https://x.example/", "pageTitle": "A;1,2"}
    visitors = [f"visitor{number:02d}" for number in range(len(FAULTS) + 1)]
    first = [pageview(f"{uiud}-{name}1", minutes[0], uiud=uiud, **landing) for uiud in visitors]
    return first + [pageview(f"{uiud}-{name}2", minutes[1], uiud=uiud) for uiud in visitors]


def spoil_each_row(room, *, correction: int) -> None:
    for number, fault in enumerate(FAULTS):
        where = f"uiud = 'visitor{number:02d}' AND correction = {correction}"
        room.client.query_and_wait(f"UPDATE `{room.dataset}.sessions` SET {fault} WHERE {where}")


def differing(room) -> list[str]:
    """The visitors whose digests differ."""
    found = room.ask("SELECT uiud FROM `{d}_replay.digests` WHERE liveDigest != replayedDigest ORDER BY uiud")
    return [row["uiud"] for row in found]


def test_each_value_that_is_wrong_in_the_live_table_is_found(stream, capsys):
    visits = of_visitors("", (1, 2))
    archive(stream, range(0, 100), *visits)
    stream.load(Kind.SESSIONS, *sessions_of(*visits, batchKey="q/000000000001"))
    assert replay(stream, capsys)[0] == 0
    spoil_each_row(stream, correction=0)
    code, found = replay(stream, capsys)
    assert (code, found["different"], found["onlyLive"], found["onlyReplayed"]) == (1, len(FAULTS), 0, 0)
    assert found["keys"]["different"] == [[f"visitor{n:02d}", "s", at(0).isoformat()] for n in range(5)]
    assert found["live"]["sha256"] != found["replayed"]["sha256"]
    assert differing(stream) == [f"visitor{n:02d}" for n in range(len(FAULTS))]


def test_each_value_that_is_wrong_in_a_correction_is_found(stream, capsys):
    record(stream, 1, range(100, 200), watermark_ms=to_ms(120), late_ms=to_ms(120))
    in_time, late = of_visitors("b", (2, 3)), of_visitors("a", (1, 4))
    archive(stream, range(0, 100), *in_time)
    archive(stream, range(100, 200), *late)
    stream.load(Kind.SESSIONS, *sessions_of(*in_time, batchKey="q/000000000001"))
    repair(Tables(stream.client, stream.dataset), stream.bucket)
    load(stream, 1)
    assert replay(stream, capsys)[0] == 0
    spoil_each_row(stream, correction=1)
    replay(stream, capsys)
    assert differing(stream) == [f"visitor{n:02d}" for n in range(len(FAULTS))]


def test_a_row_that_is_gone_and_one_that_nobody_sent_are_found(stream, capsys):
    stream.client.query_and_wait(f"DELETE FROM `{stream.dataset}.sessions` WHERE uiud = 'v'")
    stream.load(Kind.SESSIONS, *sessions_of(pageview("x", 5, uiud="w"), batchKey="q/000000000009"))
    code, found = replay(stream, capsys)
    assert (code, found["different"]) == (1, 0)
    assert found["keys"] == {
        "onlyLive": [["w", "s", at(0).isoformat()]], "onlyReplayed": [["v", "s", at(0).isoformat()]],
    }  # fmt: skip


def test_a_row_that_is_there_twice_is_found(stream, capsys):
    (row,) = stream.ask("SELECT * FROM `{d}.sessions` WHERE uiud = 'v'")
    stream.load(Kind.SESSIONS, row)
    code, found = replay(stream, capsys)
    assert (code, found["different"], found["live"]["rows"]) == (1, 1, 4)


LATE = [
    pageview("0", 0, pageTitle="first"),
    pageview("aa", 1, landingPage="1", referrer="https://late.example/"),
    pageview("bb", 10, robot=True, landingPage="1", referrer="https://y.example/"),
    pageview("zz", 29.99999),
    pageview("alone", 10, uiud="w"),
]


def test_corrections_and_the_streams_row_are_one_row(stream, capsys):
    record(stream, 1, range(100, 400), watermark_ms=to_ms(120), late_ms=to_ms(120))
    for number, late in enumerate((LATE[:2], LATE[2:]), 1):
        archive(stream, range(number * 100, 200 + number * 100), *late)
        repair(Tables(stream.client, stream.dataset), stream.bucket)
        load(stream, number)
        code, found = replay(stream, capsys)
        assert (code, found["equal"]) == (0, True)
    assert found["live"]["rows"] == 5
    rows = stream.ask("SELECT * FROM `{d}_replay.sessions`")
    assert dump(rows) == dump(sessions_of(*PAGEVIEWS, *LATE))


def test_late_pageviews_that_are_not_appended_yet_differ(stream, capsys):
    record(stream, 1, range(100, 400), watermark_ms=to_ms(120), late_ms=to_ms(120))
    archive(stream, range(100, 400), *LATE)
    code, found = replay(stream, capsys)
    assert (code, found["different"], found["onlyReplayed"], found["onlyLive"]) == (1, 1, 1, 0)


def test_open_windows_are_named_and_left_out(stream, capsys):
    record(stream, 1, range(100, 200), watermark_ms=to_ms(45), late_ms=0, query="r")
    stream.bucket.blob("batches/v1/q/batch=000000000000.json").delete()
    code, found = replay(stream, capsys)
    (left,) = found["leftOut"]
    assert (left["topic"], left["windows"], left["pageviews"]) == ("webevent", 1, 1)
    assert left["first"] == left["last"] == at(30).isoformat()
    assert (code, found["equal"], found["live"]["rows"]) == (0, True, 3)


def test_a_topic_that_no_batch_has_read_leaves_its_windows_out(stream, capsys):
    other = {"kafkaTopic": "other", "pageUrl": "/x"}
    stream.load(Kind.EVENTS, event("x", 5, offset=1, **other), event("y", 65, offset=2, **other))
    code, found = replay(stream, capsys)
    assert [(each["topic"], each["windows"]) for each in found["leftOut"]] == [("other", 2)]
    assert (code, found["live"]["rows"]) == (0, 1)


def test_rows_that_the_stream_adds_meanwhile_are_not_compared(stream, capsys):
    stream.load(Kind.SESSIONS, *sessions_of(pageview("new", 125), batchKey="q/000000000001"))
    assert replay(stream, capsys)[0] == 0


def test_the_period_is_whole_days_of_window_beginnings(stream, capsys):
    record(stream, 1, range(0, 100), watermark_ms=to_ms(60 * 48), late_ms=0)
    days = [pageview("n1", 13.99 * 60), pageview("n2", 14 * 60), pageview("n3", 38 * 60)]
    archive(stream, range(60, 100), *days)
    stream.load(Kind.SESSIONS, *sessions_of(*days, batchKey="q/000000000001"))
    found = replay(stream, capsys, "--from", "2026-01-03", "--to", "2026-01-03")[1]
    assert (found["equal"], found["live"]["rows"]) == (True, 1)
    assert replay(stream, capsys, "--from", "2026-01-02", "--to", "2026-01-04")[1]["live"]["rows"] == 7


def test_a_window_across_midnight_belongs_to_the_day_of_its_beginning(room, capsys):
    record(room, 0, range(0, 100), watermark_ms=to_ms(60 * 72), late_ms=0, window_s=7 * 3600)
    pageviews = [pageview("a", 13 * 60, uiud="v"), pageview("b", 14.5 * 60)]
    archive(room, range(0, 100), *pageviews)
    rows = sessions_of(*pageviews, window_s=7 * 3600, batchKey="q/000000000000")
    assert {row["window_start"].day for row in rows} == {2}
    room.load(Kind.SESSIONS, *rows)
    code, found = replay(room, capsys)
    assert (code, found["live"]["rows"], found["windowSeconds"]) == (0, 2, 25_200)


def test_an_empty_period_is_no_difference(stream, capsys):
    code, found = replay(stream, capsys, "--from", "2025-01-01", "--to", "2025-01-01")
    assert (code, found["live"]["rows"], found["equal"]) == (0, 0, True)


def test_windows_of_several_lengths_are_refused_until_one_is_named(stream, capsys):
    record(stream, 0, range(100, 200), watermark_ms=to_ms(120), late_ms=0, query="r", window_s=600)
    with pytest.raises(ConfigError, match=r"several lengths \(600, 1800 s\).*--window-seconds"):
        replay(stream, capsys)
    assert replay(stream, capsys, *DAY, "--window-seconds", "1800")[0] == 0


def test_without_batch_records_nothing_is_said_to_be_closed(stream, capsys):
    stream.bucket.blob("batches/v1/q/batch=000000000000.json").delete()
    with pytest.raises(ConfigError, match="no batch records"):
        replay(stream, capsys)


def test_live_tables_are_never_replaced(stream, capsys):
    before = stream.ask("SELECT * FROM `{d}.sessions`")
    with pytest.raises(ConfigError, match="its sessions are live ones"):
        replay(stream, capsys, *DAY, "--into", stream.dataset)
    assert stream.ask("SELECT * FROM `{d}.sessions`") == before


def said(room, capsys, *flags: Any) -> str:
    main(["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, *DAY, *flags])
    return str(capsys.readouterr().out)


def test_the_command_says_it_in_lines(stream, capsys):
    text = said(stream, capsys, "--into", f"{stream.dataset}_other")
    assert "no difference" in text
    assert f"replayed  {stream.dataset}_other" in text
    stream.client.query_and_wait(f"UPDATE `{stream.dataset}.sessions` SET robot = TRUE WHERE sessionId = 't'")
    text = said(stream, capsys)
    assert "different: 1 rows" in text
    assert "2026-01-02 10:00  uiud u  sessionId t" in text
    assert f"IT DIFFERS: see {stream.dataset}_replay.digests" in text
