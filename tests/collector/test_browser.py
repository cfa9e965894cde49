"""The tag in a real Chromium: each view once, with the right session, landing page, referrer and order."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.collector.parts import CollectorProcess, chromium_path, new_topic, read_topic, serve_site, wait_for

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

pytestmark = [pytest.mark.stack, pytest.mark.slow]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
QUEUED = "Object.keys(localStorage).filter(key => key.startsWith('webevents:')).length"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A visitor nobody has seen; a test fails when a page of theirs met an error."""
    errors: list[str] = []
    fresh = chromium.new_context()
    fresh.on("weberror", lambda error: errors.append(str(error.error)))
    yield fresh
    fresh.close()
    assert errors == []


@pytest.fixture
def topic(kafka_servers: str) -> str:
    return new_topic(kafka_servers)


@pytest.fixture
def collector(kafka_servers: str, topic: str, tmp_path: Any) -> Iterator[CollectorProcess]:
    process = CollectorProcess(kafka_servers, tmp_path, topic=topic)
    yield process
    assert process.stop() == 0


@pytest.fixture
def site(collector: CollectorProcess) -> Iterator[str]:
    with serve_site(collector.url) as origin:
        yield origin


def is_sent(page: Any) -> None:
    """Wait until the collector has everything of the page."""
    page.wait_for_function(f"window.webevents && !window.webevents.q && {QUEUED} == 0", polling=20)


def in_order(servers: str, topic: str) -> list[dict[str, Any]]:
    """The distinct events of the topic, by their number in the session."""
    events = {event["eventId"]: event for event in read_topic(servers, topic)}
    return sorted(events.values(), key=lambda event: (event["timestamp"], event["seq"]))


def shown(event: dict[str, Any], site: str) -> tuple[str, str, str, str]:
    """Path, title, landing page and last page of an event."""
    return (
        event["pageUrl"].removeprefix(site), event["pageTitle"], event["landingPage"],
        event["lastPageVisited"].removeprefix(site),
    )  # fmt: skip


def test_a_visit_of_many_ways(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str
) -> None:
    page = context.new_page()
    page.goto(f"{site}/start", referer="https://search.example/?q=a")
    is_sent(page)
    page.click("#one")  # a full load
    is_sent(page)
    page.evaluate("history.pushState({}, '', '/spa?tab=1'); document.title = 'In the page'")
    page.evaluate("history.replaceState({}, '', '/spa?tab=1')")  # the same address: no view
    page.evaluate("location.hash = 'below'")  # a place in the page: no view
    page.wait_for_timeout(200)
    is_sent(page)
    page.go_back()  # off the fragment: no view
    page.go_back()  # popstate to /one
    page.wait_for_timeout(200)
    is_sent(page)
    page.go_back()  # a page of its own, from the back/forward cache or loaded again
    is_sent(page)

    context.set_offline(True)
    page.evaluate("history.pushState({}, '', '/offline'); document.title = 'Without a network'")
    page.wait_for_function(f"{QUEUED} == 1")
    context.set_offline(False)
    is_sent(page)

    page.click("#two")
    is_sent(page)
    page.evaluate("history.pushState({}, '', '/last'); document.title = 'The last'")
    page.close(run_before_unload=True)  # right after the click

    wait_for(lambda: len(in_order(kafka_servers, topic)) >= 8, "eight views in the topic")
    views = in_order(kafka_servers, topic)
    assert [shown(view, site) for view in views] == [
        ("/start", "Page /start", "1", "https://search.example/?q=a"),
        ("/one", "Page /one", "0", "/start"),
        ("/spa?tab=1", "In the page", "0", "/one"),
        ("/one", "In the page", "0", "/spa?tab=1"),
        ("/start", "Page /start", "0", "/one"),
        ("/offline", "Without a network", "0", "/start"),
        ("/two", "Page /two", "0", "/offline"),
        ("/last", "The last", "0", "/two"),
    ]
    assert [view["referrer"] for view in views] == ["https://search.example/?q=a", *["direct"] * 7]
    assert [view["seq"] for view in views] == list(range(1, 9))
    assert len({(view["uiud"], view["sessionId"]) for view in views}) == 1
    assert not any(view.get("clockSkewed") for view in views)
    assert len(read_topic(kafka_servers, topic)) == 8


def test_two_tabs_share_visitor_session_and_queue(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str
) -> None:
    first, second = context.new_page(), context.new_page()
    first.goto(f"{site}/first")
    is_sent(first)
    collector.kill()
    second.goto(f"{site}/second")  # its tag is the cached one: it was loaded for a day
    second.wait_for_function(f"window.webevents && {QUEUED} == 1", polling=20)
    first.evaluate("history.pushState({}, '', '/third')")
    first.wait_for_function(f"{QUEUED} == 2", polling=20)
    collector.restart()
    for page in (first, second):
        page.evaluate("dispatchEvent(new Event('online'))")
    is_sent(first)
    is_sent(second)
    events = read_topic(kafka_servers, topic)
    assert sorted(event["pageUrl"].removeprefix(site) for event in events) == ["/first", "/second", "/third"]
    assert sorted(event["seq"] for event in events) == [1, 2, 3]
    assert len({event["eventId"] for event in events}) == 3
    assert len({(event["uiud"], event["sessionId"]) for event in events}) == 1


def test_what_a_closed_browser_left_is_sent_at_the_next_visit(
    chromium: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{site}/online")
    is_sent(page)
    context.set_offline(True)
    page.evaluate("webevents('Left behind', {step: 1})")
    page.wait_for_function(f"{QUEUED} == 1")
    kept = context.storage_state()
    context.close()
    again = chromium.new_context(storage_state=kept)
    page = again.new_page()
    page.goto(f"{site}/next-day")
    page.evaluate("dispatchEvent(new Event('online'))")
    is_sent(page)
    again.close()
    assert sorted(event["eventType"] for event in read_topic(kafka_servers, topic)) == [
        "Left behind",
        "Pageview",
        "Pageview",
    ]


def test_calls_before_the_tag_has_loaded_are_not_lost(
    context: Any, collector: CollectorProcess, kafka_servers: str, topic: str
) -> None:
    stub = "window.webevents = window.webevents || function () { (webevents.q = webevents.q || []).push(arguments) }"
    head = f"""<script>{stub};
    webevents("Early", {{plan: "pro"}});</script><script async src="{collector.url}/tag.js"></script>"""
    with serve_site(collector.url, tag=head) as origin:
        page = context.new_page()
        page.goto(origin)
        is_sent(page)
    events = in_order(kafka_servers, topic)
    assert [event["eventType"] for event in events] == ["Pageview", "Early"]
    assert events[1]["extra"] == '{"props":{"plan":"pro"}}'


def traces(context: Any, page: Any) -> tuple[list[Any], int]:
    """What the tag left in the browser: cookies, and the number of stored keys."""
    return context.cookies(), page.evaluate("localStorage.length + sessionStorage.length")


OBJECTIONS = {
    "Do Not Track": "Object.defineProperty(navigator, 'doNotTrack', {get: () => '1'})",
    "Global Privacy Control": "Object.defineProperty(navigator, 'globalPrivacyControl', {get: () => true})",
}


@pytest.mark.parametrize("objection", OBJECTIONS.values(), ids=OBJECTIONS)
def test_who_objects_leaves_no_trace(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str, objection: str
) -> None:
    context.add_init_script(objection)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.goto(f"{site}/")
    page.wait_for_function("!!window.webevents")
    page.evaluate("webevents('Signup'); webevents('consent', true); history.pushState({}, '', '/x')")
    page.wait_for_timeout(300)
    assert traces(context, page) == ([], 0)
    assert "POST" not in asked
    assert read_topic(kafka_servers, topic) == []


def test_consent_is_waited_for_and_can_be_withdrawn(
    context: Any, collector: CollectorProcess, kafka_servers: str, topic: str
) -> None:
    with serve_site(collector.url, tag=f'<script async data-consent src="{collector.url}/tag.js"></script>') as origin:
        page = context.new_page()
        page.goto(f"{origin}/a")
        page.wait_for_function("!!window.webevents")
        page.evaluate("webevents('Too early'); history.pushState({}, '', '/b')")
        page.wait_for_timeout(200)
        assert traces(context, page) == ([], 0)
        page.evaluate("webevents('consent', true)")
        is_sent(page)
        assert [cookie["name"] for cookie in context.cookies()] == ["sessionId"]
        page.evaluate("webevents('consent', false); webevents('Too late'); history.pushState({}, '', '/c')")
        page.wait_for_timeout(200)
        assert traces(context, page) == ([], 0)
    assert [event["pageUrl"] for event in read_topic(kafka_servers, topic)] == [f"{origin}/b"]


def test_it_works_under_a_strict_content_security_policy(
    context: Any, collector: CollectorProcess, kafka_servers: str, topic: str
) -> None:
    policy = f"default-src 'none'; script-src {collector.url}; connect-src {collector.url}"
    policy += "; require-trusted-types-for 'script'"
    with serve_site(collector.url, csp=policy) as origin:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        with page.expect_response("**/api/webeventspub") as answered:
            page.goto(origin)
        assert answered.value.status == 200
    assert not [text for text in said if "Content Security Policy" in text and "favicon" not in text]
    assert len(read_topic(kafka_servers, topic)) == 1


def test_without_storage_cookies_or_network_the_page_meets_no_error(context: Any, collector: CollectorProcess) -> None:
    context.add_init_script("""
        for (const name of ['localStorage', 'sessionStorage'])
            Object.defineProperty(window, name, {get() { throw new DOMException('no', 'SecurityError') }});
        Object.defineProperty(document, 'cookie', {get() { throw new Error('no') }, set() { throw new Error('no') }});
        window.fetch = () => { throw new Error('no') };
    """)
    with serve_site(collector.url) as origin:
        page = context.new_page()
        page.goto(origin)
        page.wait_for_function("!!window.webevents")
        page.evaluate("webevents('Signup'); history.pushState({}, '', '/x'); webevents(); webevents(null, Symbol())")
        page.wait_for_timeout(200)
        assert page.url.endswith("/x")


def test_a_site_that_is_not_listed_is_told_and_does_not_try_again(
    context: Any, kafka_servers: str, topic: str, tmp_path: Any
) -> None:
    process = CollectorProcess(kafka_servers, tmp_path, "--sites", "https://example.com", topic=topic)
    with serve_site(process.url) as origin:
        page = context.new_page()
        with page.expect_response("**/api/webeventspub") as answered:
            page.goto(origin)
        assert answered.value.status == 403
        page.wait_for_function(f"{QUEUED} == 0")
    assert process.stop() == 0
    assert read_topic(kafka_servers, topic) == []


def test_a_wrong_clock_is_learnt_and_corrected(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str
) -> None:
    context.add_init_script("const real = Date.now; Date.now = () => real() - 7200000")
    page = context.new_page()
    page.goto(f"{site}/first")
    is_sent(page)
    page.click("#one")
    is_sent(page)
    first, second = in_order(kafka_servers, topic)
    assert first["clockSkewed"] is True
    assert "clockSkewed" not in second
    assert abs(second["receivedAt"] - second["sentAt"]) < 30_000


PRERENDER_MS = 2_000
AHEAD = """<script>
window.webevents = function () { (webevents.q = webevents.q || []).push(arguments) };
if (location.pathname == "/start") {
    const rules = document.createElement("script");
    rules.type = "speculationrules";
    rules.textContent = '{"prerender": [{"source": "list", "urls": ["/next", "/never"], "eagerness": "immediate"}]}';
    document.head.append(rules);
    setTimeout(() => location.href = "/next", PRERENDER_MS);
}
if (document.prerendering)
    document.addEventListener("prerenderingchange", () => webevents("Shown after prerendering"));
</script>"""


def test_a_prerendered_page_counts_when_it_is_shown(
    collector: CollectorProcess, kafka_servers: str, topic: str, tmp_path: Any
) -> None:
    head = AHEAD.replace("PRERENDER_MS", str(PRERENDER_MS))
    with serve_site(collector.url, tag=f'{head}<script async src="{collector.url}/tag.js"></script>') as origin:
        # Pages of a driven browser are not activated: this one drives itself.
        command = [chromium_path(), *FLAGS, "--headless", f"--user-data-dir={tmp_path / 'profile'}",
                   "--remote-debugging-port=0", f"{origin}/start"]  # fmt: skip
        browser = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for(lambda: len(in_order(kafka_servers, topic)) >= 3, "two views, and an event of the shown page")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
    events = read_topic(kafka_servers, topic)
    assert sorted((event["pageUrl"].removeprefix(origin), event["eventType"]) for event in events) == [
        ("/next", "Pageview"), ("/next", "Shown after prerendering"), ("/start", "Pageview"),
    ]  # fmt: skip
    at = {event["pageUrl"].removeprefix(origin): event["timestamp"] for event in events}
    shown_after = datetime.fromisoformat(at["/next"]) - datetime.fromisoformat(at["/start"])
    assert shown_after.total_seconds() * 1_000 >= PRERENDER_MS * 0.9
    assert len({(event["uiud"], event["sessionId"]) for event in events}) == 1


def test_nothing_is_left_by_a_page_that_is_prerendered_and_never_shown(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str
) -> None:
    context.add_init_script("Object.defineProperty(document, 'prerendering', {get: () => !window.shown})")
    page = context.new_page()
    with page.expect_response("**/tag.js"):
        page.goto(f"{site}/one")
    page.evaluate("history.pushState({}, '', '/two')")
    assert traces(context, page) == ([], 0)
    page.evaluate("window.shown = true; document.dispatchEvent(new Event('prerenderingchange'))")
    is_sent(page)
    assert [shown(view, site)[0] for view in in_order(kafka_servers, topic)] == ["/two"]


LEAVE_AT_ONCE = """
const send = window.fetch;
window.fetch = function () {
    const sent = send.apply(this, arguments), number = +location.pathname.slice(1);
    if (number < VIEWS) location.href = '/' + (number + 1);
    return sent;
};
"""


VIEWS = int(os.environ.get("WEBEVENTS_VIEWS", "250"))


@pytest.mark.timeout(280)
@pytest.mark.parametrize("views", [VIEWS, pytest.param(1_000, marks=pytest.mark.long)])
def test_views_left_in_the_moment_of_sending(
    context: Any, collector: CollectorProcess, site: str, kafka_servers: str, topic: str, views: int
) -> None:
    context.add_init_script(LEAVE_AT_ONCE.replace("VIEWS", str(views)))
    page = context.new_page()
    reached: list[str] = []
    page.on("framenavigated", lambda frame: reached.append(frame.url))
    with contextlib.suppress(sync_api.Error):
        page.goto(f"{site}/1", wait_until="commit")

    def at_the_end() -> bool:
        page.wait_for_timeout(250)
        return f"{site}/{views}" in reached

    wait_for(at_the_end, "the last page", within_s=240)
    page.wait_for_timeout(2_000)
    raw = read_topic(kafka_servers, topic)
    at_once = {event["pageUrl"] for event in raw}
    is_sent(page)  # what was left in the queue
    raw = read_topic(kafka_servers, topic)
    found = in_order(kafka_servers, topic)
    arrived = {view["pageUrl"].rpartition("/")[2] for view in found} & {str(number) for number in range(1, views + 1)}
    print(f"{len(at_once)} of {views} at once, {len(arrived)} in the end, {len(raw) - len(found)} sent twice")
    assert len(arrived) >= views * 0.995
    assert len(found) == len(arrived)
    assert [view["seq"] for view in found] == sorted(view["seq"] for view in found)
