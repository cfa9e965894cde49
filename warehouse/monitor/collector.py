"""A collector as an outsider sees it: its readiness, its counters, and a canary's way in."""

import json
from collections import defaultdict
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from contract.failures import TransientError
from warehouse.monitor.readings import CollectorReading

TIMEOUT_S = 10.0
PREFIX = "webevents_collector_"
EVENTS_PATH = "/api/webeventspub"
READ_BYTES = 4 * 1024 * 1024


def read_collector(url: str) -> CollectorReading:
    """/readyz and /metrics of the collector at `url`. Raises TransientError where it does not answer as one."""
    status, _ = ask(f"{url}/readyz")
    found, text = ask(f"{url}/metrics")
    if found != 200 or f"{PREFIX}events_stored_total" not in text:
        raise TransientError(f"{url}/metrics answers {found}, and not with a collector's figures")
    return to_reading(text, ready=status == 200)


def to_reading(text: str, *, ready: bool) -> CollectorReading:
    """A collector's own counters; one that this version does not know is 0."""
    sums: dict[str, float] = defaultdict(float)
    refused: dict[str, float] = {}
    errors = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            sums[name] += sample.value
            if name == "events_refused_total":
                refused[sample.labels["field"]] = sample.value
            if name == "responses_total" and sample.labels["status"].startswith("5"):
                errors += sample.value
    return CollectorReading(
        ready=ready, spooling=bool(sums["spooling"]), stored=sums["events_stored_total"], refused=refused,
        server_errors=errors, spool_bytes=sums["spool_bytes"], in_flight=sums["in_flight"],
        oldest_unacknowledged_s=sums.get("oldest_unacked_seconds"),
    )  # fmt: skip


def post_event(url: str, event: dict[str, Any]) -> bool:
    """Send one event, as a page's tag does; whether the collector has it safe.

    Raises TransientError where there is no such answer. The same eventId may be sent again at any time.
    """
    body = json.dumps(event).encode()
    status, text = ask(f"{url}{EVENTS_PATH}", body)
    if status != 200:
        raise TransientError(f"{url} answers {status}")
    try:
        return bool(json.loads(text)["id"] == event["eventId"])
    except (ValueError, KeyError, TypeError) as error:
        raise TransientError(f"{url} answers 200, and not as a collector") from error


def ask(url: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and text of one answer. Raises TransientError where there is none."""
    request = Request(url, data=body, headers={"content-type": "application/json", "user-agent": "webevents-monitor"})
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status), answer.read(READ_BYTES).decode("utf-8", "replace")
    except HTTPError as error:
        with error:
            return error.code, error.read(READ_BYTES).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise TransientError(f"no answer from {url}: {getattr(error, 'reason', None) or error!r}") from error
