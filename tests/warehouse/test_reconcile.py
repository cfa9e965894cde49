"""The command over real tables: each fault alone must turn its exit code to 1 and be named."""

import json

import pytest
from rich.console import Console

from contract.failures import ConfigError
from contract.names import Kind, record_name
from tests.warehouse.conftest import at, bad, event, session
from warehouse.accounts import Accounts
from warehouse.reconcile import main, show
from warehouse.tables import Tables

pytestmark = pytest.mark.stack
CLOSED_MS = int(at(60).timestamp() * 1000)


@pytest.fixture
def balanced(room):
    """Three pageviews in sessions, one of them sent twice; one late, one open, one refused, one custom event."""
    room.load(
        Kind.EVENTS,
        event("a", 1, offset=0), event("b", 2, offset=1), event("b", 2, offset=2), event("c", 31, offset=3),
        event("late", 1, offset=10), event("open", 61, offset=4),
        event("click", 3, offset=5, eventType="Click"),
    )  # fmt: skip
    room.load(Kind.SESSIONS, session("a", "b"), session("c", minutes=[31]))
    room.load(Kind.BAD, bad(6))
    record(room, 0, 0, 7, watermark_ms=CLOSED_MS, late_ms=0)
    record(room, 1, 7, 11, watermark_ms=CLOSED_MS, late_ms=CLOSED_MS)
    return room


def record(room, batch_id, start, end, *, watermark_ms, late_ms):
    """A batch record as the job leaves it."""
    fields = {
        "queryId": "q", "batchId": batch_id, "watermarkMs": watermark_ms, "lateWatermarkMs": late_ms,
        "offsets": {"webevent": {"0": [start, end]}}, "object": None, "rows": 0, "pageviews": 0,
        "window_s": 1800, "delay_s": 200,
    }  # fmt: skip
    room.bucket.blob(record_name("q", batch_id)).upload_from_string(json.dumps(fields))


def reconcile(room, capsys, *flags):
    """Exit code and accounts."""
    code = main(["--bucket", room.bucket.name, "--project", "local", "--dataset", room.dataset, "--json", *flags])
    return code, json.loads(capsys.readouterr().out)


def test_every_pageview_is_accounted_for(balanced, capsys):
    code, found = reconcile(balanced, capsys)
    counts = {name: found[name] for name in ("accepted", "pageviews_in_sessions", "rejected", "late", "open")}
    assert counts == {"accepted": 6, "pageviews_in_sessions": 3, "rejected": 1, "late": 1, "open": 1}
    assert (found["duplicates"], found["other_events"], found["sessions_rows"]) == (1, 1, 2)
    assert found["rejected_by_reason"] == {"undecodable": 1}
    assert (code, found["holds"]) == (0, True)


def test_a_pageview_that_was_read_in_time_and_is_not_there_is_missing(balanced, capsys):
    balanced.load(Kind.EVENTS, event("gone", 5, offset=6))
    code, found = reconcile(balanced, capsys)
    assert (code, found["missing"]) == (1, ["gone"])


def test_a_pageview_in_two_rows_is_named(balanced, capsys):
    balanced.load(Kind.SESSIONS, session("a", batch=9))
    code, found = reconcile(balanced, capsys)
    assert (code, found["twice"]) == (1, ["a"])


def test_a_pageview_that_nobody_sent_is_named(balanced, capsys):
    balanced.load(Kind.SESSIONS, session("phantom", batch=9))
    code, found = reconcile(balanced, capsys)
    assert (code, found["strangers"]) == (1, ["phantom"])


def test_what_no_batch_has_read_yet_is_open(balanced, capsys):
    balanced.load(Kind.EVENTS, event("unread", 5, offset=11))
    code, found = reconcile(balanced, capsys)
    assert (code, found["open"]) == (0, 2)


def test_a_refused_message_that_was_archived_twice_counts_once(balanced, capsys):
    balanced.load(Kind.BAD, bad(6))
    assert reconcile(balanced, capsys)[1]["rejected"] == 1


def test_the_period_is_whole_days_the_last_one_included(balanced, capsys):
    assert reconcile(balanced, capsys, "--from", "2026-01-02", "--to", "2026-01-02")[1]["accepted"] == 6
    assert reconcile(balanced, capsys, "--from", "2026-01-03")[1]["accepted"] == 0


def test_the_table_says_it_in_one_line(balanced, capsys):
    flags = ["--bucket", f"gs://{balanced.bucket.name}", "--project", "local", "--dataset", balanced.dataset]
    assert main(flags) == 0
    line = "accepted 6 = in sessions 3 + rejected 1 + late 1 + open 1: nothing lost, nothing twice"
    assert line in capsys.readouterr().out


def test_a_dataset_that_is_not_there_is_one_sentence(room):
    with pytest.raises(ConfigError, match="webevents warehouse apply"):
        main(["--bucket", room.bucket.name, "--project", "local", "--dataset", "nowhere"])


def test_a_record_that_cannot_be_read_is_named(balanced):
    balanced.bucket.blob(record_name("q", 2)).upload_from_string("{")
    with pytest.raises(ConfigError, match="batch=000000000002.json is not a batch record"):
        main(["--bucket", balanced.bucket.name, "--project", "local", "--dataset", balanced.dataset])


def test_the_questions_of_an_empty_dataset_have_answers(room):
    tables = Tables(room.client, room.dataset)
    assert (tables.days(), tables.sessions(), tables.rejected(), tables.twice()) == ({}, (0, 0), [], ())


def test_an_id_that_a_terminal_would_obey_is_spelled_out(capsys):
    accounts = Accounts(twice=("a\x1b[2Jb\nc",))
    show(accounts, Console())
    assert "a\\x1b[2Jb\\nc" in capsys.readouterr().out


def test_a_dataset_is_a_name():
    with pytest.raises(ConfigError, match="--dataset.*want letters, digits and _"):
        main(["--bucket", "b", "--dataset", "a`; DROP"])
