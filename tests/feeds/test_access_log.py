"""From log files to messages: visitors, sessions, ids, counts."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest

from contract.failures import ConfigError
from contract.message import heartbeat
from contract.settings import read_flags
from feeds.access_log import CLOSE_S, Settings, origin
from feeds.pages import Skip
from tests.feeds.imports import NOW_MS, REAL_LOG, import_files, log_line, write_log
from tests.oracle import Message, judge, read_time

SITE = "https://www.example.org"
OTHER = "https://other.example/page"
OWN = f"{SITE}/before"
BARE = "http://EXAMPLE.org:8080/x"
NAMING = f"{OTHER}?u={SITE}"
LONGER = "https://notexample.org/"
BROKEN = "http://[broken"
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def test_the_real_log_has_these_counts() -> None:
    tally, sender = import_files(REAL_LOG)
    assert tally.to_json() == {
        "files": 1, "lines": 4525, "pageviews": 1418, "visitors": 554, "sessions": 825, "robots": 642,
        "damaged": 0, "faults": [], "unread": [], "site": "http://www.semicomplete.com", "site_derived": True,
        "windows_open": False, "acknowledged": 1421, "seconds": 0.0,
        "skipped": {
            "blank": 0, "method": 18, "status": 473, "other_site": 0, "file": 2042, "feed": 574,
            "robot": 0, "repeated": 0,
        },
        "first": "2015-05-17 10:05:13.000", "last": "2015-05-18 23:05:58.000", "heartbeat": "2015-05-18 23:40:18.000",
    }  # fmt: skip
    landings = Counter(pageview["landingPage"] for pageview in sender.pageviews)
    assert landings == {"1": 1040, "0": 378}


def test_the_real_log_is_the_same_sessions_to_the_oracle() -> None:
    tally, sender = import_files(REAL_LOG)
    verdict = judge(Message(value, NOW_MS) for _, value in sender.messages)
    assert len(verdict.event_ids) == tally.pageviews == verdict.pageviews
    assert not verdict.rejected
    assert len({(row["uiud"], row["sessionId"]) for row in verdict.sessions}) == tally.sessions
    assert len({row["uiud"] for row in verdict.sessions}) == tally.visitors


def test_every_line_is_accounted_for(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "a.log", log_line(), log_line(), "", "damaged", log_line(method="POST"), log_line(status=404),
        log_line(target="/a.css"), log_line(target="/feed/"), log_line(target="http://elsewhere.example/"),
        log_line(agent=ROBOT),
    )  # fmt: skip
    tally, _ = import_files(log, log, site=SITE, robots="skip")
    assert tally.lines == 20 == tally.pageviews + tally.damaged + sum(tally.skipped.values())
    assert (tally.pageviews, tally.damaged) == (2, 2)
    assert {reason: tally.skipped[reason] for reason in Skip} == {
        **dict.fromkeys(Skip, 2),
        # An equal line is known by its text before its address is looked at: two pages and one of another site.
        Skip.OTHER_SITE: 1,
        Skip.REPEATED: 3,
    }


def test_two_imports_give_equal_bytes() -> None:
    assert import_files(REAL_LOG)[1].messages == import_files(REAL_LOG)[1].messages


def test_the_order_and_the_packing_of_the_lines_do_not_matter(tmp_path: Path) -> None:
    lines = REAL_LOG.read_bytes().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"".join(lines[:2000])))
    (tmp_path / "b.log").write_bytes(b"".join(lines[2000:]).replace(b"\n", b"\r\n"))
    # 13 lines of the log stand in it twice: shuffled into two files, some of the pairs are parted, and are one then.
    tally, sender = import_files(tmp_path / "a.gz", tmp_path / "b.log")
    whole = import_files(REAL_LOG)[1].messages
    assert len(sender.messages) == len(whole) - tally.skipped[Skip.REPEATED]
    assert set(sender.messages) <= set(whole)


def test_messages_go_out_in_the_order_of_time_over_all_files(tmp_path: Path) -> None:
    late = write_log(tmp_path / "2.log", log_line("12:00:00"), log_line("11:00:00"))
    early = write_log(tmp_path / "1.log", log_line("11:30:00"), log_line("10:00:00"))
    _, sender = import_files(late, early, site=SITE)
    assert [view["timestamp"][11:16] for view in sender.pageviews] == ["10:00", "11:00", "11:30", "12:00"]


def test_equal_lines_of_one_file_are_requests_of_their_own(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.log", log_line(), log_line(), log_line())
    assert len({view["eventId"] for view in import_files(log, site=SITE)[1].pageviews}) == 3


def test_an_equal_line_of_a_second_file_is_the_same_request(tmp_path: Path) -> None:
    twice = write_log(tmp_path / "a.log", log_line(), log_line())
    thrice = write_log(tmp_path / "b.log", log_line(), log_line(), log_line())
    tally, sender = import_files(twice, thrice, site=SITE)
    assert len({view["eventId"] for view in sender.pageviews}) == len(sender.pageviews) == 3
    assert tally.skipped[Skip.REPEATED] == 2


@pytest.mark.parametrize(
    ("times", "sessions"),
    [
        pytest.param(["10:00:00", "10:29:59"], 1, id="1799 s of silence go on with the session"),
        pytest.param(["10:00:00", "10:30:00"], 2, id="1800 s of silence begin a new one, as the cookie has expired"),
        pytest.param(["10:00:00", "10:29:00", "10:58:00"], 1, id="every pageview puts the end off"),
        pytest.param(["10:50:00", "10:00:00", "10:25:00"], 1, id="lines out of order are put in order first"),
    ],
)
def test_silence_ends_a_session(tmp_path: Path, times: list[str], sessions: int) -> None:
    log = write_log(tmp_path / "a.log", *map(log_line, times))
    tally, sender = import_files(log, site=SITE)
    assert tally.sessions == len({view["sessionId"] for view in sender.pageviews}) == sessions


@pytest.mark.parametrize(
    ("other", "visitors"),
    [
        pytest.param({}, 1, id="the same host and user agent are one visitor"),
        pytest.param({"host": "b.example"}, 2, id="another host is another visitor"),
        pytest.param({"agent": "Other/1.0"}, 2, id="another user agent is another visitor"),
        pytest.param({"zone": "+0100"}, 1, id="a zone makes no visitor"),
    ],
)
def test_a_visitor_is_a_host_and_a_user_agent(tmp_path: Path, other: dict[str, str], visitors: int) -> None:
    log = write_log(tmp_path / "a.log", log_line(), log_line("10:00:01", **other))
    assert import_files(log, site=SITE)[0].visitors == visitors


@pytest.mark.parametrize(
    ("referrer", "landing", "kept", "last"),
    [
        pytest.param("-", "1", "direct", "", id="from nowhere"),
        pytest.param(OTHER, "1", OTHER, OTHER, id="from another site"),
        pytest.param(OWN, "0", "direct", OWN, id="from the site"),
        pytest.param(BARE, "0", "direct", BARE, id="from the site without www and with a port"),
        pytest.param(NAMING, "1", NAMING, NAMING, id="from another site that names this one"),
        pytest.param(LONGER, "1", LONGER, LONGER, id="from a site with a longer name"),
        pytest.param(BROKEN, "1", BROKEN, BROKEN, id="from what is no address"),
    ],
)
def test_landing_and_referrer_are_as_the_tag_sets_them(
    tmp_path: Path, referrer: str, landing: str, kept: str, last: str
) -> None:
    log = write_log(tmp_path / "a.log", log_line(target="/p?q=1", referrer=referrer))
    [view] = import_files(log, site=SITE)[1].pageviews
    assert (view["landingPage"], view["referrer"], view["lastPageVisited"]) == (landing, kept, last)
    assert view["pageUrl"] == f"{SITE}/p?q=1"
    assert "pageTitle" not in view


def test_the_site_is_the_one_that_most_referrers_name(tmp_path: Path) -> None:
    names = ["http://www.own.example/a"] * 2 + ["http://own.example/"] + ["http://other.example/"] * 2
    log = write_log(tmp_path / "a.log", *(log_line(target="/x.css", referrer=name) for name in names), log_line())
    tally, sender = import_files(log)
    assert (tally.site, tally.site_derived) == ("http://www.own.example", True)
    assert sender.pageviews[0]["pageUrl"] == "http://www.own.example/"


def test_a_log_without_referrers_asks_for_the_site(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --site"):
        import_files(write_log(tmp_path / "a.log", log_line()))


@pytest.mark.parametrize("robots", ["flag", "skip"])
def test_robots_are_flagged_or_left_out(tmp_path: Path, robots: str) -> None:
    log = write_log(tmp_path / "a.log", log_line(), log_line(agent=ROBOT))
    tally, sender = import_files(log, site=SITE, robots=robots)
    assert Counter(view.get("robot") for view in sender.pageviews) == (
        {None: 1, True: 1} if robots == "flag" else {None: 1}
    )
    assert (tally.robots, tally.skipped[Skip.ROBOT]) == ((1, 0) if robots == "flag" else (0, 1))


def test_the_heartbeats_close_every_window(tmp_path: Path) -> None:
    tally, sender = import_files(write_log(tmp_path / "a.log", log_line("10:29:59")), site=SITE)
    assert sender.heartbeats == [tally.last_ms + CLOSE_S * 1000] * 3
    assert not tally.windows_open
    window_end_ms = tally.last_ms // 1_800_000 * 1_800_000 + 1_800_000
    assert sender.heartbeats[0] - 200_000 >= window_end_ms
    assert heartbeat(sender.heartbeats[0]).startswith(b'{"timestamp":"2015-05-17 11:04:19.000"')


def test_a_recent_log_gets_no_heartbeat_ahead_of_the_clock(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.log", log_line())
    now_ms = read_time("2015-05-17 10:20:00")
    tally, sender = import_files(log, site=SITE, now_ms=now_ms)
    assert sender.heartbeats == [now_ms] * 3
    assert tally.windows_open


def test_damaged_lines_are_named_by_place_and_reason_only(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.log", log_line(), *[log_line(day="99/May/2015", target="/?token=secret")] * 9)
    tally, _ = import_files(log, site=SITE)
    assert tally.damaged == 9
    assert tally.faults == [f"{log}:{number}: its time cannot be read" for number in range(2, 7)]


def test_what_was_read_before_a_file_ended_is_sent_and_the_others_too(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(REAL_LOG.read_bytes())[:-20_000])
    whole = write_log(tmp_path / "b.log", log_line())
    tally, sender = import_files(tmp_path / "none.log", cut, whole)
    assert tally.unread == [
        f"{tmp_path}/none.log: cannot be read: No such file or directory", f"{cut}: the gzip file is cut short",
    ]  # fmt: skip
    assert 1 < len(sender.messages) == tally.pageviews < 1419


def test_a_log_without_pageviews_sends_nothing(tmp_path: Path) -> None:
    tally, sender = import_files(write_log(tmp_path / "a.log", log_line(status=404)))
    assert (sender.messages, sender.heartbeats, tally.to_json()["heartbeat"]) == ([], [], None)


@pytest.mark.parametrize("given", ["example.org", "https://example.org/path", "ftp://example.org", "https://"])
def test_a_site_is_an_origin(given: str) -> None:
    with pytest.raises(ValueError, match="want an origin such as"):
        origin(given)


def test_the_settings_are_flags() -> None:
    argv = ["a.log", "-", "--kafka-servers", "h:1", "--site", "https://Example.org/", "--robots", "skip", "--json"]
    settings = read_flags(Settings, argv, prog="webevents import-log", description="")
    assert settings == Settings(
        files=("a.log", "-"), kafka_servers="h:1", site="https://example.org", robots="skip", json=True
    )
