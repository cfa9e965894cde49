"""A real Chromium that visits the sample site: full loads, a router, the way back, no network, a tab closed at once."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.failures import ConfigError

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
REFERRER = "https://search.example/?q=tea"
SENT = "window.webevents && !window.webevents.q && !Object.keys(localStorage).some(key => key.startsWith('webevents:'))"
QUEUED = "Object.keys(localStorage).some(key => key.startsWith('webevents:'))"
LINGER_S = 120.0
INSTALL = "apt-get install chromium, or name one in WEBEVENTS_CHROMIUM"


@dataclass(frozen=True)
class View:
    """A page as the visitor saw it: addresses without the site's origin."""

    page: str
    title: str
    came_from: str
    landing: bool = False


@dataclass(frozen=True)
class Visit:
    """One walk through the site: who walked, and what must be in the tables of it, in order."""

    uiud: str
    session_id: str
    views: tuple[View, ...]


WALK = (
    View("/", "Tea for two", REFERRER, landing=True),
    View("/shop", "Shop", "/"),
    View("/shop/assam", "assam", "/shop"),
    View("/shop/sencha", "sencha", "/shop/assam"),
    View("/shop/assam", "assam", "/shop/sencha"),
    View("/about", "About us", "/shop/assam"),
    View("/contact", "Contact", "/about"),
    View("/shop", "Shop", "/contact"),
    View("/shop/rooibos", "rooibos", "/shop"),
)
"""What `walk` looks at."""


def find_chromium(environ: Mapping[str, str]) -> str:
    """The browser's program. Raises ConfigError, saying how to get one, when there is none."""
    path = environ.get("WEBEVENTS_CHROMIUM") or shutil.which("chromium", path=environ.get("PATH"))
    if path is None:
        raise ConfigError(f"there is no Chromium: {INSTALL}")
    return path


def walk(site: str, chromium: str, arrived: Callable[[Visit], bool] = lambda visit: True) -> Visit:
    """Visit `site` as WALK says, with one click on Buy.

    The page of the sixth view is reached while the network is cut for the tag; the last view's tab is closed right
    after the click. The browser stays open until `arrived` says that its views have arrived, or for LINGER_S.
    Raises ConfigError where it cannot be driven.
    """
    try:
        from playwright import sync_api
    except ModuleNotFoundError as error:
        raise ConfigError("Playwright is missing: pip install 'webevents[local]'") from error
    playwright = _start(sync_api)
    try:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), headless=True)
        try:
            visit = _walk(browser.new_context(), site)
            _linger(browser, lambda: arrived(visit))
            return visit
        finally:
            browser.close()
    except sync_api.Error as error:
        raise ConfigError(f"Chromium at {chromium} cannot be driven: {error.message.splitlines()[0]}") from error
    finally:
        playwright.stop()


def _start(sync_api: Any) -> Any:
    """Playwright, with the program of its own that drives browsers."""
    try:
        return sync_api.sync_playwright().start()
    except Exception as error:  # noqa: BLE001  Playwright has no other class for a driver program that does not run
        raise ConfigError(f"Playwright's driver does not run ({error}): apt-get install libatomic1") from error


def _walk(context: Any, site: str) -> Visit:
    page = context.new_page()
    page.goto(f"{site}/", referer=REFERRER)
    _sent(page)
    page.click("#shop")
    _sent(page)
    for tea in ("#assam", "#sencha"):
        page.click(tea)
        page.wait_for_timeout(200)  # a router's title is awaited by the tag for a tenth of a second
        _sent(page)
    page.click("#buy")
    page.go_back()
    page.wait_for_timeout(200)
    _sent(page)
    context.route("**/api/webeventspub", lambda route: route.abort("internetdisconnected"))
    page.click("#about")
    page.wait_for_function(QUEUED, polling=20)
    context.unroute("**/api/webeventspub")
    page.evaluate("dispatchEvent(new Event('online'))")
    _sent(page)
    page.click("#contact")
    _sent(page)
    page.click("#shop")
    _sent(page)
    visitor, session = page.evaluate("[localStorage.Uiud, document.cookie.match(/sessionId=([^;.]+)/)[1]]")
    page.click("#rooibos")
    page.close(run_before_unload=True)
    return Visit(visitor, session, WALK)


def _linger(browser: Any, arrived: Callable[[], bool]) -> None:
    """Stay open, as a browser does whose tab is closed, until the last view has arrived, or for LINGER_S."""
    page = browser.new_page()
    deadline = time.monotonic() + LINGER_S
    while not arrived() and time.monotonic() < deadline:
        page.wait_for_timeout(500)


def _sent(page: Any) -> None:
    """Wait until the collector has everything that the tag holds."""
    page.wait_for_function(SENT, polling=20)
