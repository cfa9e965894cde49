"""From a real browser and from visitors over HTTP, through the collector and all other real parts, to the table."""

import json
import os
import shutil
from collections import Counter
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from contract.names import TOPIC
from local.browser import REFERRER, WALK
from local.demo import LATE, LEDGER, DemoSettings, demonstrate
from local.ledger import Outcome, read_ledger
from local.run import WINDOW_S, started
from tests.oracle import dump, judge, read_topic

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo as `webevents demo --pageviews 2000` runs it; the run, its outcome and its exit code."""
    if not shutil.which("chromium"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no chromium: apt install chromium")
    state = tmp_path_factory.mktemp("front")
    settings = DemoSettings(pageviews=2_000, state=str(state / "demo"), json=str(state / "out.json"))
    with started(settings.state, Console(quiet=True), TOPIC, keep=False) as run:
        code = demonstrate(run, settings)
        yield run, json.loads((state / "out.json").read_text()), code


def acknowledged_pageviews(run):
    """The ledger's pageviews that were answered with 200."""
    entries = read_ledger(run.cloud.state.folder / LEDGER)
    return [entry for entry in entries if entry.outcome is Outcome.OK and entry.event["eventType"] == "Pageview"]


def test_every_view_of_the_browser_is_in_sessions_once_in_order_with_title_session_and_referrer(demo):
    run, outcome, _ = demo
    (visit,) = run.warehouse.ask(f"SELECT * FROM `{{dataset}}.visits` WHERE landingReferrer = '{REFERRER}'")
    rows = run.warehouse.ask(f"SELECT * FROM `{{dataset}}.sessions` WHERE uiud = '{visit.uiud}' ORDER BY firstSeen")
    views = [
        (urlsplit(page).path, title, landing, referrer)
        for row in rows
        for page, title, landing, referrer in zip(
            row.Pages, row.pageTitles, row.LandingPageCode, row.referrer, strict=True
        )
    ]
    assert [urlsplit(page).path for page in visit.Pages] == [view.page for view in WALK]
    assert views == [
        (view.page, view.title, "1" if view.landing else "0", REFERRER if view.landing else "direct") for view in WALK
    ]
    assert len({row.sessionId for row in rows}) == 1
    assert len({event_id for row in rows for event_id in row.eventIds}) == len(WALK) == outcome["browser_pageviews"]
    came_from = run.warehouse.ask(
        "SELECT lastPageVisited FROM `{dataset}.events` "
        f"WHERE uiud = '{visit.uiud}' AND eventType = 'Pageview' GROUP BY eventId, timestamp, lastPageVisited "
        "ORDER BY timestamp"
    )
    origin = visit.entryPage.rstrip("/")
    assert [row.lastPageVisited.removeprefix(origin) for row in came_from] == [view.came_from for view in WALK]


def test_what_the_collector_acknowledged_is_in_the_tables_and_what_it_refused_is_not(demo):
    run, _, _ = demo
    entries = list(read_ledger(run.cloud.state.folder / LEDGER))
    in_sessions = Counter(
        row.eventId
        for row in run.warehouse.ask("SELECT eventId FROM `{dataset}.sessions`, UNNEST(eventIds) AS eventId")
    )
    archived = {row.eventId for row in run.warehouse.ask("SELECT DISTINCT eventId FROM `{dataset}.events`")}
    assert {entry.outcome for entry in entries} == {Outcome.OK, Outcome.REFUSED}
    assert {entry.event_id for entry in entries if entry.outcome is Outcome.OK} <= archived
    assert not {entry.event_id for entry in entries if entry.outcome is Outcome.REFUSED} & archived
    assert set(in_sessions.values()) == {1}
    missing = {entry.event_id for entry in acknowledged_pageviews(run) if entry.event_id not in in_sessions}
    assert len(missing) == LATE == run.accounts().total.late


def test_events_of_the_published_tag_are_accepted_and_grouped(demo):
    run, _, _ = demo
    published = {
        entry.event_id: entry.event
        for entry in read_ledger(run.cloud.state.folder / LEDGER)
        if "eventId" not in entry.event and entry.outcome is Outcome.OK
    }
    rows = run.warehouse.ask("SELECT * FROM `{dataset}.sessions`")
    found = {
        event_id: (row.uiud, row.sessionId, page)
        for row in rows
        for event_id, page in zip(row.eventIds, row.Pages, strict=True)
        if event_id in published
    }
    assert len(found) > 100
    assert found == {
        event_id: (event["uiud"], str(event["sessionId"]), event["pageUrl"]) for event_id, event in published.items()
    }


def test_the_sessions_are_the_oracles(demo):
    run, outcome, code = demo
    rows = run.warehouse.ask("SELECT * FROM `{dataset}.sessions`")
    in_sessions = {event_id for row in rows for event_id in row.eventIds}
    late = {entry.event["uiud"] for entry in acknowledged_pageviews(run) if entry.event_id not in in_sessions}
    messages = read_topic(run.cloud.kafka_servers, TOPIC)
    wanted = judge(messages, window_ms=WINDOW_S * 1000).sessions
    assert dump(rows) == dump(row for row in wanted if row["uiud"] not in late)
    assert code == 0
    assert outcome["late"] == LATE and outcome["open"] == 0
