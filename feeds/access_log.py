"""`webevents import-log`: a web server's combined log becomes pageviews on the topic of a backfill."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from contract.failures import ConfigError
from contract.message import to_key, to_value
from contract.names import BACKFILL_TOPIC
from contract.settings import one_of, read_flags, setting, switch, text
from feeds.combined_log import DamagedLine, Request, parse_line
from feeds.log_files import FileCutShort, read_lines, size_bytes
from feeds.pages import Skip, skip_reason
from feeds.pageviews import Hit, Visits, derive_site, distinct_hits, is_own, to_digest, to_origin, to_pageview, to_uiud
from feeds.produce import Sender
from feeds.robots import is_robot
from feeds.tally import Tally, to_screen

WINDOW_S = 1800
WATERMARK_S = 200
MARGIN_S = 60
CLOSE_S = WINDOW_S + WATERMARK_S + MARGIN_S
"""How far past the last event the heartbeat stands: its window ends, the watermark reaches the end, and a bit."""

EPILOG = """\
One command takes all files of a span of time: sessions that go on from one file to the next stay whole. The files may
come in any order and overlap; the pageviews are sorted in memory (about 0.5 GB a million) and sent in order of time.
Run the job on the topic with a checkpoint of its own: webevents import-log, then the job with --trigger available-now.
A pageview is a GET answered with 2xx of anything that is no static file, feed or robots.txt; 304 is not counted."""


def origin(given: str) -> str:
    """scheme://host[:port]"""
    found = to_origin(given.rstrip("/"))
    if found is None or urlsplit(given.rstrip("/")).path:
        raise ValueError(f"want an origin such as https://example.org, got {given!r}")
    return found


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line."""

    files: tuple[str, ...] = setting(text, help="log files, plain or gzip; - is standard input", positional=True)
    kafka_servers: str = setting(text, help="the broker's address, HOST:PORT")
    topic: str = setting(text, help="where the pageviews go", default=BACKFILL_TOPIC)
    site: str = setting(
        origin, help="the log's own site, e.g. https://example.org; without it, the one most referrers name", default=""
    )
    robots: str = setting(one_of("flag", "skip"), help="known robots: flag them, or skip them", default="flag")
    json: bool = setting(switch, help="print the counts as JSON", default=False)


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 all is read and acknowledged, 1 a file was not read to its end, 75 no broker, 78 settings."""
    settings = read_flags(
        Settings, argv, prog="webevents import-log", epilog=EPILOG,
        description="Send a web server's access log, as pageviews, to the topic of a backfill.",
    )  # fmt: skip
    sender = Sender(settings.kafka_servers, settings.topic)
    started_s = time.monotonic()
    tally = Tally()
    with _progress() as progress:
        run(settings, sender, tally, progress, now_ms=time.time_ns() // 1_000_000)
    tally.seconds = round(time.monotonic() - started_s, 3)
    if settings.json:
        sys.stdout.write(json.dumps(tally.to_json(), indent=2) + "\n")
    else:
        Console().print(to_screen(tally, topic=settings.topic), soft_wrap=True)
    return 1 if tally.unread else 0


def run(settings: Settings, sender: Sender, tally: Tally, progress: Progress, *, now_ms: int) -> None:
    """Read all files, send their pageviews in the order of time, close the windows; `tally` fills on the way."""
    origins: Counter[str] = Counter()
    task = progress.add_task("reading", total=size_bytes(settings.files))
    hits = list(read_hits(settings, tally, origins, advance=lambda step: progress.advance(task, step)))
    hits.sort()
    tally.site = settings.site or derive_site(origins)
    tally.site_derived = not settings.site and tally.site is not None
    if hits and tally.site is None:
        raise ConfigError("no referrer in the log names its site; give --site https://HOST")
    send_hits(hits, sender, tally, progress)
    if tally.last_ms is not None:
        wanted_ms = tally.last_ms + CLOSE_S * 1000
        # The job refuses what is ahead of Kafka's clock.
        tally.heartbeat_ms = min(wanted_ms, now_ms)
        tally.windows_open = tally.heartbeat_ms < wanted_ms
        sender.send_heartbeats(tally.heartbeat_ms)
    sender.finish()
    tally.acknowledged = sender.acknowledged


def read_hits(
    settings: Settings, tally: Tally, origins: Counter[str], *, advance: Callable[[int], None]
) -> Iterator[Hit]:
    """The files' pageviews as they stand; every other line is counted. `origins` counts those of the referrers."""
    for number, file in enumerate(settings.files):
        tally.files += 1
        try:
            yield from _read_file(number, file, settings, tally, origins, read_lines(file, advance))
        except FileCutShort as error:
            tally.unread.append(f"{file}: {error}")


def _read_file(
    number: int, file: str, settings: Settings, tally: Tally, origins: Counter[str], lines: Iterable[bytes]
) -> Iterator[Hit]:
    for line_number, line in enumerate(lines, 1):
        tally.lines += 1
        if not line.strip():
            tally.skipped[Skip.BLANK] += 1
            continue
        try:
            request = parse_line(line)
        except DamagedLine as error:
            tally.damage(f"{file}:{line_number}", str(error))
            continue
        own = to_origin(request.referrer) if request.referrer and request.status < 400 else None
        if own is not None:
            origins[own] += 1
        reason = skip_reason(request) or _skip_robot(request, settings.robots)
        if reason is not None:
            tally.skipped[reason] += 1
        else:
            yield _to_hit(request, line, number)


def _skip_robot(request: Request, robots: str) -> Skip | None:
    return Skip.ROBOT if robots == "skip" and is_robot(request.agent) else None


def _to_hit(request: Request, line: bytes, file: int) -> Hit:
    uiud = to_uiud(request.host, request.agent)
    robot = is_robot(request.agent)
    return Hit(request.second, to_digest(line), file, uiud, request.target, request.referrer, robot)


def send_hits(hits: Sequence[Hit], sender: Sender, tally: Tally, progress: Progress) -> None:
    """Send sorted hits as pageviews, each line once."""
    task: TaskID = progress.add_task("sending", total=len(hits))
    visits = Visits()
    site = tally.site or ""
    for hit, event_id in distinct_hits(hits):
        progress.advance(task)
        if event_id is None:
            tally.skipped[Skip.REPEATED] += 1
        elif not is_own(hit.target, site):
            tally.skipped[Skip.OTHER_SITE] += 1
        else:
            pageview = to_pageview(hit, event_id, visits.session_of(hit), site=site)
            sender.send(to_key(hit.uiud), to_value(pageview))
            _count(hit, tally)
    tally.visitors, tally.sessions = visits.visitors, visits.sessions


def _count(hit: Hit, tally: Tally) -> None:
    tally.pageviews += 1
    tally.robots += hit.robot
    tally.last_ms = hit.second * 1000
    if tally.first_ms is None:
        tally.first_ms = tally.last_ms


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
