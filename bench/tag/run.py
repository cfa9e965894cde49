"""What a tag costs a page, beside its peers': bytes, the browser's main thread, requests.

    python -m bench.tag.run [--rounds 15] [--tags ours,plausible,snowplow,posthog] [--json FILE]

A page without a tag and one with each tag, in turn, in a real Chromium with an empty cache, from a server on this
machine that also takes the events. Milliseconds are those of the main thread from the page's start until its pageview
has been taken, less those of the page without a tag. Peers' tags are fetched from npm, pinned, on the first run.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import brotli
from rich.progress import track
from rich.table import Table

from bench.console import make_console
from bench.tag.peers import TAGS, script_of
from contract.failures import WebeventsError
from local.browser import FLAGS, find_chromium
from local.shop import Answer, serve_answers

BARE = "bare"
HIT_S, QUIET_S = 15.0, 0.5
console = make_console()


@dataclass
class Site:
    """Pages and scripts by their path, and what the pages asked for besides: paths, and bytes in query or body."""

    files: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def answer(self, address: str, body: bytes) -> Answer | None:
        """A file, or a collector's answer to what was posted; every other address is noted and is nowhere."""
        path, _, query = address.partition("?")
        if path in self.files:
            return self.files[path]
        if path != "/favicon.ico":
            self.asked.append((path, len(body or query)))
        return ("application/json", json.dumps({"receivedAt": int(time.time() * 1e3)}).encode()) if body else None


@dataclass(frozen=True)
class Load:
    """One load of a page. Times are of the main thread: all tasks, and scripts among them."""

    task_ms: float
    script_ms: float
    requests: int
    sent_bytes: int


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 where a tag is not to be had or sent no pageview."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tags", default=",".join(TAGS), help=f"with commas between, of {', '.join(TAGS)}")
    parser.add_argument("--state", type=Path, default=Path(".webevents/bench/tag"), help="where peers' tags are kept")
    parser.add_argument("--json", type=Path, help="file for every load, for machines")
    given = parser.parse_args(argv)
    names = given.tags.split(",")
    if strangers := [name for name in names if name not in TAGS]:
        parser.error(f"--tags: no tag {strangers[0]!r}; there are {', '.join(TAGS)}")
    try:
        scripts = {name: script_of(TAGS[name], given.state) for name in names}
        loads = measure(scripts, given.rounds)
    except (LookupError, RuntimeError, WebeventsError) as error:
        console.print(str(error))
        return 1
    found = {name: figures(script, loads[name], loads[BARE]) for name, script in scripts.items()}
    console.print(to_table(found))
    if given.json is not None:
        every = {name: [asdict(load) for load in each] for name, each in loads.items()}
        given.json.write_text(json.dumps({"tags": found, "loads": every}, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(scripts: dict[str, bytes], rounds: int) -> dict[str, list[Load]]:
    """Every page so many times, in turn. Raises LookupError where a tag sends nothing to where its events go."""
    from playwright.sync_api import sync_playwright

    site = Site()
    for name in (BARE, *scripts):
        head = TAGS[name].page if name in TAGS else ""
        page = f"<!doctype html><title>A page</title>{head}<h1>A page</h1>"
        site.files[f"/page/{name}"] = ("text/html", page.encode())
    for name, script in scripts.items():
        site.files[f"/script/{name}.js"] = ("text/javascript", script)
    loads: dict[str, list[Load]] = {name: [] for name in (BARE, *scripts)}
    with serve_answers(site.answer, {"cache-control": "no-store"}) as origin, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(os.environ), args=list(FLAGS))
        for number in track(range(rounds + 1), "loads", console=console):
            for name in loads:
                load = _load(browser, site, origin, name)
                if number:  # the first round warms the browser up
                    loads[name].append(load)
        browser.close()
    return loads


def _load(browser: Any, site: Site, origin: str, name: str) -> Load:
    site.asked.clear()
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(f"{origin}/page/{name}", wait_until="load")
    deadline = time.monotonic() + HIT_S
    while name in TAGS and not any(path.startswith(TAGS[name].hits) for path, _ in site.asked):
        if time.monotonic() > deadline:
            raise LookupError(f"{name} sent no pageview within {HIT_S:.0f} s; it asked for {site.asked}")
        page.wait_for_timeout(20)
    page.wait_for_timeout(QUIET_S * 1e3)
    told = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    load = Load(
        told["TaskDuration"] * 1e3, told["ScriptDuration"] * 1e3,
        len(site.asked) + (name in TAGS), sum(size for _, size in site.asked),
    )  # fmt: skip
    context.close()
    return load


def figures(script: bytes, loads: Sequence[Load], bare: Sequence[Load]) -> dict[str, float]:
    """Bytes of the script, and medians of its loads; milliseconds less those of the page without a tag."""
    task, scripted = (statistics.median(getattr(load, name) for load in bare) for name in ("task_ms", "script_ms"))
    return {
        "bytes": len(script),
        "gzip": len(gzip.compress(script, 9)),
        "brotli": len(brotli.compress(script, quality=11)),
        "task_ms": statistics.median(load.task_ms for load in loads) - task,
        "script_ms": statistics.median(load.script_ms for load in loads) - scripted,
        "requests": statistics.median(load.requests for load in loads),
        "sent_bytes": statistics.median(load.sent_bytes for load in loads),
    }


def to_table(found: dict[str, dict[str, float]]) -> Table:
    """A row a tag."""
    table = Table("tag", title="what a tag costs a page")
    names = ("bytes", "gzip", "brotli", "main thread, ms", "scripts, ms", "requests", "bytes sent")
    for name in names:
        table.add_column(name, justify="right")
    for name, each in found.items():
        cells = [f"{value:,.1f}" if key.endswith("_ms") else f"{value:,.0f}" for key, value in each.items()]
        version = TAGS[name].version
        table.add_row(f"{name} {version}".strip(), *cells)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
