"""SECURITY.md says what the code does: its limits, the tests that it names, the flags, and that there is no secret."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import streaming.transform
from cloud_functions.load import ATTEMPTS
from cloud_functions.manifest import MANIFEST_BYTES
from collector import app, clock, connection, events, fields, limits, robots, wire
from collector.script import read_script
from collector.settings import Settings
from feeds.combined_log import MAX_LINE_BYTES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
DEFAULTS: dict[str, Any] = {name: field.default for name, field in Settings.__dataclass_fields__.items()}

LIMITS = {
    "request body": f"{events.BODY_BYTES // 1024} KiB",
    "compressed body": "none taken",
    "request line and headers": f"{connection.HEAD_BYTES // 1024} KiB",
    "bodies in memory at once": f"{events.HELD_BYTES // 1024**2} MiB",
    "time for one request": f"{DEFAULTS['request_s']} s",
    "quiet connection": f"{DEFAULTS['keep_alive_s']} s",
    "open connections": f"{DEFAULTS['connections']}",
    "open connections of one address": "not bounded" if DEFAULTS["address_connections"] == 0 else "bounded",
    "events of one address": f"{DEFAULTS['rate']} a second, bursts of {DEFAULTS['rate'] * limits.BURST_S}",
    "addresses remembered for that": f"{limits.ADDRESSES}, an IPv6 /64 is one",
    "events in one request": f"{wire.EVENTS}",
    "`uiud`, `sessionId`, `eventId`": f"{fields.ID_CHARS} characters",
    "`eventType`": f"{fields.NAME_CHARS} characters",
    "addresses, titles, referrers": f"{fields.TEXT_CHARS} characters each",
    "fields that the contract does not name": f"{wire.EXTRA_BYTES} bytes together",
    "fields of a pixel": f"{wire.QUERY_FIELDS}",
    "event time": f"{clock.BEHIND_MS // 86_400_000} days back, {clock.AHEAD_MS // 1000} s ahead",
    "spool on disk": f"{DEFAULTS['spool_mb']} MiB",
    "user agent read for robots": f"{robots.AGENT_BYTES} bytes",
    "time of a message in the job": f"{streaming.transform.FUTURE_TOLERANCE_S} s ahead of Kafka's",
    "line of an imported log": f"{MAX_LINE_BYTES} bytes",
    "manifest of a batch": f"{MANIFEST_BYTES // 1024**2} MiB",
    "load jobs of one object": f"{ATTEMPTS}",
}


def told_limits() -> dict[str, str]:
    table = TEXT.partition("| limit | value |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    return {name.strip(): value.strip() for name, value in rows}


def labels_of_metrics() -> str:
    """Counted in the collector: its routes, and the fields that it counts refusals under."""
    nothing: Any = None
    routes = app.Collector(nothing, nothing, read_script(), nothing, now_ms=lambda: 0)._gets
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "collector").glob("*.py"))
    named = re.findall(r'_metrics\.refused\("(\w+)"\)', source)
    return f"{len({*routes, events.EVENTS_PATH, 'other'})} routes, {len({*named, *fields.READERS, 'body'})} fields"


def test_each_limit_told_is_the_codes() -> None:
    assert told_limits() == {**LIMITS, "labels of metrics": labels_of_metrics()}


NAMED = sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)[`:]", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_test_named_is_there(path: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_claims_test_is_looked_for() -> None:
    assert len(NAMED) == len(set(re.findall(r"::(test_\w+)", TEXT))) > 30


def test_each_flag_named_is_one_of_ours() -> None:
    named = set(re.findall(r"`(--[a-z-]+(?:=[a-z-]+)?)`", TEXT))
    provision = (ROOT / "scripts/provision.sh").read_text(encoding="utf-8")
    collectors = {"--" + name.replace("_", "-") for name in DEFAULTS}
    assert len(named) > 5
    strangers = {flag for flag in named - collectors if not re.search(rf"{flag}(?![\w=-])", provision)}
    assert strangers == {"--version"} & named


def test_the_readme_leads_there() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}",
    "a service account's key": r"\"private_key_id\"\s*:\s*\"[0-9a-f]{40}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a Google token": r"\bya29\.[0-9A-Za-z_-]{20,}",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[0-9A-Za-z]{36}\b",
}
SAMPLES = {
    "a private key": "-----BEGIN PRIVATE KEY-----\n" + "A" * 64,
    "a service account's key": '"private_' + 'key_id": "' + "0" * 40,
    "a Google API key": "AI" + "za" + "x" * 35,
    "a Google token": "ya" + "29." + "x" * 30,
    "an AWS key": "AK" + "IA" + "X" * 16,
    "a GitHub token": "gh" + "p_" + "x" * 36,
}


@pytest.mark.parametrize("what", SECRETS)
def test_no_file_of_the_repository_holds_a_secret(what: str) -> None:
    assert re.search(SECRETS[what], SAMPLES[what])
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    assert len(files) > 100
    texts = ((path, path.read_text(encoding="utf-8", errors="replace")) for path in files if path.is_file())
    assert [str(path) for path, text in texts if re.search(SECRETS[what], text)] == []
