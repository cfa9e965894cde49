"""Runs of import-log without a broker."""

from pathlib import Path

from rich.progress import Progress

from feeds.access_log import Settings, run
from feeds.tally import Tally
from tests.feeds.recorder import Recorder

REAL_LOG = Path(__file__).resolve().parents[3] / "shared" / "data" / "access_log_2015-05-17_18.log"
NOW_MS = 1_800_000_000_000
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def import_files(*files: Path | str, now_ms: int = NOW_MS, **settings: object) -> tuple[Tally, Recorder]:
    """The counts and the messages of one import."""
    tally, sender = Tally(), Recorder()
    given = Settings(files=tuple(map(str, files)), kafka_servers="none:9092", **settings)
    run(given, sender, tally, Progress(disable=True), now_ms=now_ms)
    return tally, sender


def log_line(
    at: str = "10:00:00",
    target: str = "/",
    *,
    host: str = "a.example",
    referrer: str = "-",
    agent: str = AGENT,
    status: int = 200,
    method: str = "GET",
    day: str = "17/May/2015",
    zone: str = "+0000",
) -> str:
    """One line of a combined log."""
    return f'{host} - - [{day}:{at} {zone}] "{method} {target} HTTP/1.1" {status} 123 "{referrer}" "{agent}"'


def write_log(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
