"""Sends canaries and looks for them in every place where they can be."""

import json
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from confluent_kafka import Message

from contract.failures import TransientError
from contract.message import to_key
from contract.names import BatchObject, Kind, parse_batch_key
from warehouse.monitor.canary import STAGES, Canary, Flock
from warehouse.monitor.collector import post_event
from warehouse.monitor.objects import Objects, Published
from warehouse.monitor.rows import CANARY, CANARY_VISITOR, Rows
from warehouse.monitor.topic import Topic

EVERY_S = 60.0
FOLLOWED = 60
"""How many are followed at a time: of more, the oldest and the newest are."""
PEEK_S = 10.0
"""An object that has waited that long is opened, to see whether the canary is in it."""
BACK = 1_000
"""Where the topic's end at the time of sending is not known: how many messages of a partition are read."""

Spans = Mapping[int, tuple[int, int]]


class Follower:
    """Follows the canaries of one collector."""

    def __init__(self, url: str, topic: Topic, objects: Objects, rows: Rows) -> None:
        self.url, self.topic, self.objects, self.rows = url, topic, objects, rows
        self.open: list[Canary] = []
        self.last: Canary | None = None
        self.posted = self.arrived = 0
        self.made_at = 0.0
        self.asked_at = -1.0
        self._begin: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._opened: set[str] = set()

    @property
    def flock(self) -> Flock:
        """What is known of them."""
        return Flock(tuple(self.open), self.last, self.posted, self.arrived, self.objects.jobs_answer)

    def send(self, now: float, spans: Spans | None) -> None:
        """Send one a minute; one that was not answered is sent again, and no other meanwhile."""
        if spans is not None:
            self._ends = {partition: end for partition, (_, end) in spans.items()}
        unanswered = next((canary for canary in self.open if not canary.passed("collector")), None)
        if unanswered is None and now - self.made_at >= EVERY_S:
            unanswered = Canary(str(uuid.uuid4()), now)
            self.made_at = now
            if not any(canary.waits_for and canary.waits_for[0] == "topic" for canary in self.open):
                self._begin = dict(self._ends)
            self.open.append(unanswered)
            if len(self.open) > FOLLOWED:
                del self.open[1]
        if unanswered is not None:
            self._post(unanswered, now)

    def _post(self, canary: Canary, now: float) -> None:
        try:
            taken = post_event(self.url, to_event(canary, now))
        except TransientError:
            return  # it stays unanswered, which is what is judged
        if taken:
            self.posted += 1
            canary.passes("collector", now)

    def look(self, now: float) -> None:
        """Look where each of them is. Raises TransientError where a place cannot be looked at, after all others."""
        faults = []
        for place in (self._look_in_topic, partial(self._look_in_table, now), partial(self._look_in_objects, now)):
            try:
                place()
            except TransientError as error:
                faults.append(error)
        if faults:
            raise faults[0]

    def _look_in_topic(self) -> None:
        wanted = {c.event_id: c for c in self.open if c.passed("collector") and not c.passed("topic")}
        if not wanted:
            return
        spans = self.topic.spans()
        begin = self._begin or {partition: max(start, end - BACK) for partition, (start, end) in spans.items()}
        self._begin = {partition: begin.get(partition, spans[partition][0]) for partition in spans}

        def found(message: Message) -> None:
            canary = wanted.get(str(_event_id(message.value())))
            if canary is not None:
                canary.passes("topic", message.timestamp()[1] / 1000)

        self.topic.search(self._begin, spans, to_key(CANARY_VISITOR), found)

    def _look_in_table(self, now: float) -> None:
        """Ask the table when a load has ended since it was asked last: a question costs, however few rows."""
        newest = self.objects.newest_load_at(Kind.EVENTS)
        wanted = {canary.event_id: canary for canary in self.open if canary.passed("collector")}
        if not wanted or newest <= self.asked_at:
            return
        for event_id, batch_key in self.rows.canaries(list(wanted), now).items():
            canary, published = wanted[event_id], self._published(batch_key)
            if published is not None and published.loaded:
                job = published.jobs[-1]
                canary.passes("streaming", published.created_at)
                canary.passes("bucket, function", job.created_at)
                canary.passes("warehouse", job.ended_at or now)
            else:
                canary.passes("warehouse", now)
            self.last, self.arrived = canary, self.arrived + 1
        self.open = [canary for canary in self.open if not canary.passed(STAGES[-1])]
        self.asked_at = newest

    def _look_in_objects(self, now: float) -> None:
        """Open what waits for its load: that tells a canary that is published from one that is not."""
        waiting = self.objects.waiting(Kind.EVENTS)
        for published in waiting:
            wanted = {c.event_id: c for c in self.open if c.passed("collector") and not c.passed("streaming")}
            name = published.batch.name
            if name in self._opened or not wanted or now - published.created_at < PEEK_S:
                continue
            for row in self.objects.rows(published):
                canary = wanted.get(str(row.get("eventId")))
                if canary is not None:
                    canary.passes("streaming", published.created_at)
                    canary.published_in = name
            self._opened.add(name)
        jobs = {published.batch.name: published.jobs for published in waiting}
        for canary in self.open:
            if jobs.get(canary.published_in):
                canary.passes("bucket, function", jobs[canary.published_in][0].created_at)
        self._opened &= jobs.keys()

    def _published(self, batch_key: str) -> Published | None:
        parsed = parse_batch_key(batch_key)
        if parsed is None:
            return None
        names = [BatchObject(Kind.EVENTS, *parsed, manifest=form).name for form in (False, True)]
        return next((self.objects.objects[name] for name in names if name in self.objects.objects), None)


def to_event(canary: Canary, now: float) -> dict[str, Any]:
    """The canary as a page's tag would post it: a custom event, so that it is in events and in no session."""
    return {
        "timestamp": int(canary.made_at * 1000),
        "sentAt": int(now * 1000),
        "pageUrl": "webevents:canary",
        "eventType": CANARY,
        "uiud": CANARY_VISITOR,
        "sessionId": CANARY_VISITOR,
        "eventId": canary.event_id,
    }


def _event_id(value: bytes | None) -> object:
    try:
        return json.loads(value or b"")["eventId"]
    except (ValueError, TypeError, KeyError):
        return None
