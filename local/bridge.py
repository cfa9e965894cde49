"""Eventarc's stand-in: every object of the bucket becomes a CloudEvent to the function, until it answers 2xx.

`python -m local.bridge --storage URL --function URL --bucket NAME --journal FILE`. At least once, as on Google Cloud,
for every object, whatever its name. An object that is deleted or overwritten within one poll is not noticed.
"""

import hashlib
import heapq
import itertools
import logging
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from contract.failures import ConfigError
from contract.log import log_to
from contract.settings import count, number, read_flags, seconds, setting, text
from local.deliveries import DELIVERED, GIVEN_UP, WAITING, Delivery, Journal, Key, list_objects, read_journal
from local.processes import on_term

POLL_S = 0.1
LISTING_SHARE = 0.1
"""The most of its time that the bridge may spend with listing: a large bucket is asked less often."""
POST_S = 540
"""The longest that a function of an event may run."""
FIRST_DELAY_S = 0.5
SPREAD_S = 2.0
"""Within this time the deliveries of an object are spread when they are shuffled."""

log = logging.getLogger("local.bridge")


@dataclass(frozen=True, kw_only=True)
class BridgeSettings:
    """Settings of the bridge."""

    storage: str = setting(text, help="address of the storage server")
    function: str = setting(text, help="address of the function host")
    bucket: str = setting(text, help="bucket whose objects are announced")
    journal: Path = setting(Path, help="file that remembers the deliveries over a restart")
    deliveries: int = setting(
        number, default=1, help="times that each event is delivered; Eventarc promises at least 1"
    )
    shuffle_seed: int | None = setting(count, default=None, help="deliver out of order, by this seed")
    retry_max_s: int = setting(seconds, default=30, help="longest pause before another try; Eventarc's is 600")
    give_up_s: int = setting(seconds, default=86_400, help="age at which an event is given up; Eventarc's is a day")
    workers: int = setting(number, default=4, help="deliveries at the same time")


@dataclass
class Event:
    """One object's event on its way."""

    resource: Mapping[str, Any]
    deadline: float
    left: int
    tries: int = 0
    delay_s: float = FIRST_DELAY_S

    @property
    def key(self) -> Key:
        """Which event it is."""
        return str(self.resource["name"]), str(self.resource["generation"])


@dataclass
class Bridge:
    """Polls, posts, and remembers. Times are of the monotonic clock."""

    settings: BridgeSettings
    seen: set[Key] = field(default_factory=set)
    due: list[tuple[float, int, Event]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    session: requests.Session = field(default_factory=requests.Session)
    posting: dict[Future[str], Event] = field(default_factory=dict)
    next_poll: float = 0.0

    def __post_init__(self) -> None:
        settled = read_journal(self.settings.journal).values()
        self.seen |= {delivery.key for delivery in settled if delivery.outcome != WAITING}
        self.journal = Journal(self.settings.journal)
        self.random = random.Random(self.settings.shuffle_seed)

    def run(self) -> None:
        """Deliver for ever."""
        with ThreadPoolExecutor(self.settings.workers) as pool:
            while True:
                if time.monotonic() >= self.next_poll:
                    self.take_new()
                self.post_due(pool)
                if self.posting:
                    wait(self.posting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                else:
                    time.sleep(POLL_S)
                self.settle_answers()

    def take_new(self) -> None:
        """Take up the objects that were not there at the last poll."""
        began = time.monotonic()
        try:
            listed = list(list_objects(self.settings.storage, self.settings.bucket, self.session))
        except (requests.RequestException, ValueError) as error:
            log.warning("bucket cannot be listed", extra={"error": str(error)[:300]})
            self.next_poll = began + FIRST_DELAY_S
            return
        now = time.monotonic()
        self.next_poll = now + max(POLL_S, (now - began) / LISTING_SHARE)
        for resource in listed:
            event = Event(resource, now + self.settings.give_up_s, self.settings.deliveries)
            if event.key not in self.seen:
                self.seen.add(event.key)
                for _ in range(self.settings.deliveries):
                    self.schedule(event, now + self.spread())

    def spread(self) -> float:
        """How long a first delivery waits: not at all, unless deliveries are shuffled."""
        return 0.0 if self.settings.shuffle_seed is None else self.random.uniform(0, SPREAD_S)

    def schedule(self, event: Event, at: float) -> None:
        """Have the event posted at `at`."""
        heapq.heappush(self.due, (at, next(self.numbers), event))

    def post_due(self, pool: ThreadPoolExecutor) -> None:
        """Post the events whose time has come, as many as there are workers."""
        while self.due and self.due[0][0] <= time.monotonic() and len(self.posting) < self.settings.workers:
            _, _, event = heapq.heappop(self.due)
            event.tries += 1
            self.posting[pool.submit(post, self.settings.function, event.resource)] = event

    def settle_answers(self) -> None:
        """Write down what was answered, and plan the next try of what failed."""
        for done in [future for future in self.posting if future.done()]:
            self.settle(self.posting.pop(done), done.result())

    def settle(self, event: Event, answer: str) -> None:
        """`answer` is the HTTP status, or why there was none."""
        if answer.startswith("2"):
            event.left -= 1
            if event.left == 0:
                self.note(event, DELIVERED, answer)
        elif time.monotonic() + event.delay_s > event.deadline:
            self.note(event, GIVEN_UP, answer)
        else:
            self.note(event, WAITING, answer)
            self.schedule(event, time.monotonic() + event.delay_s)
            event.delay_s = min(2 * event.delay_s, self.settings.retry_max_s)

    def note(self, event: Event, outcome: str, answer: str) -> None:
        """One line in the journal and one in the log."""
        name, generation = event.key
        self.journal.add(Delivery(name, generation, outcome, event.tries, answer))
        level = logging.ERROR if outcome == GIVEN_UP else logging.INFO
        log.log(level, outcome, extra={"object": name, "tries": event.tries, "answer": answer})


def post(function_url: str, resource: Mapping[str, Any]) -> str:
    """Post the object's event in the binary content mode; the status, or the fault's name."""
    try:
        return str(
            requests.post(function_url, json=dict(resource), headers=headers(resource), timeout=POST_S).status_code
        )
    except requests.RequestException as error:
        return type(error).__name__


def headers(resource: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that Eventarc gives the event; the id is the same at every delivery."""
    bucket, name = str(resource["bucket"]), str(resource["name"])
    event_id = hashlib.sha256(f"{bucket}/{name}#{resource['generation']}".encode()).hexdigest()[:16]
    attributes = {
        "specversion": "1.0",
        "id": str(int(event_id, 16)),
        "type": "google.cloud.storage.object.v1.finalized",
        "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "subject": f"objects/{name}",
        "bucket": bucket,
        "time": str(resource.get("timeCreated") or resource.get("updated")),
    }
    return {f"ce-{key}": quote(value, safe=" !#$&'()*+,/:;=?@[]-._~") for key, value in attributes.items()}


def main(argv: Sequence[str]) -> int:
    """Run until TERM."""
    try:
        settings = read_flags(BridgeSettings, argv, prog="local.bridge", description=(__doc__ or "").splitlines()[0])
    except ConfigError as error:
        sys.stderr.write(f"bridge: {error}\n")
        return error.exit_code
    log_to()
    on_term(lambda number, frame: sys.exit(0))
    Bridge(settings).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
