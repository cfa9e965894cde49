"""Simulated visitors: made from a seed, so that what must become of every message is known beforehand.

The plan has two phases, because a pageview is late only once the stream has seen that its window is over:
    1  traffic with retries, refused messages and custom events; heartbeats that close all its windows
    2  pageviews of phase 1's time, sent only now: late, every one; new traffic; heartbeats that close the rest
Send phase 2 when a batch with the watermark `watermark_after(plan, 1)` has ended: the next one is the first that
drops. A finished --trigger available-now run is always that far.
"""

import heapq
import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, count, islice
from typing import NamedTuple

from contract.message import heartbeat, to_key
from contract.reasons import Reason
from local.messages import Session, bad_values, custom, draw_gaps, draw_uuid, pageviews_of
from local.plan import Fate, Planned, expect, read_ledger, send, write_ledger

__all__ = (
    "Fate", "Mix", "Planned", "expect", "read_ledger", "send", "simulate", "watermark_after", "write_ledger",
)  # fmt: skip

SECOND_MS = 1000
WINDOW_MS = 1800 * SECOND_MS
DELAY_MS = 200 * SECOND_MS
DISORDER_MS = 150 * SECOND_MS
"""How long after its time a message may come: within the watermark's delay, so that none is late by chance."""
LATE_BY_MS = 3600 * SECOND_MS
SECOND_PHASE_MS = 3 * WINDOW_MS
MIN_SPAN_S = 5 * 3600
MAX_PAGES = 60


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What there is beside plain pageviews: numbers of messages, and shares of the visitors from 0 to 1."""

    duplicates: int = 50
    late: int = 20
    customs: int = 30
    rejected_each: int = 3
    """Of every reject reason."""
    robots: float = 0.1
    published: float = 0.3
    """Send as the first published tag and API do: no eventId, whole seconds, numbers for text."""
    skewed: float = 0.05
    """Corrected by the collector: clockSkewed and originalTimestamp."""


def simulate(
    seed: int, *, pageviews: int, start_ms: int, mix: Mix | None = None, span_s: int = 6 * 3600, partitions: int = 3
) -> Iterator[Planned]:
    """Plan `pageviews` distinct pageviews, all to end in sessions, and what `mix` adds, in the order of sending.

    `start_ms` is when sending begins: all event times lie in the `span_s` before it (5 hours or more), but for
    those that are refused for their time. Equal arguments, equal plan. Memory grows with the sessions only.
    """
    mix = mix or Mix()
    if span_s < MIN_SPAN_S or pageviews < max(5, mix.duplicates * 2):
        raise ValueError(f"want span_s of {MIN_SPAN_S} or more, and pageviews of 5 and twice the duplicates or more")
    rng = random.Random(seed)
    visitors: list[Session] = []
    end_ms = (start_ms - DELAY_MS - SECOND_MS) // WINDOW_MS * WINDOW_MS
    middle_ms = end_ms - SECOND_PHASE_MS
    first_ms = start_ms - span_s * SECOND_MS
    again_ms = middle_ms + DELAY_MS + SECOND_MS
    later = pageviews // 5
    slots = _slots(rng, visitors, pageviews - later, first_ms, middle_ms, mix)
    extras = [*_refused(rng, mix, first_ms, middle_ms, start_ms), *_customs(rng, mix, slots)]
    yield from _play(1, slots, frozenset(rng.sample(range(pageviews - later), mix.duplicates)), extras)
    yield from _heartbeats(1, again_ms, partitions)
    yield from _late(rng, mix, visitors, first_ms, middle_ms - LATE_BY_MS, again_ms)
    yield from _play(2, _slots(rng, visitors, later, again_ms, end_ms, mix), frozenset(), [])
    yield from _heartbeats(2, end_ms + DELAY_MS + SECOND_MS, partitions)


def watermark_after(plan: Iterable[Planned], phase: int) -> int:
    """The watermark, ms since the epoch, that a batch shows when the stream has seen all of `phase`."""
    return max(each.due_ms for each in plan if each.phase == phase and each.fate is Fate.HEARTBEAT) - DELAY_MS


class _Slot(NamedTuple):
    """A session before it is played. Sorts by its start."""

    start_ms: int
    seed: int
    pages: int
    session: Session


def _slots(
    rng: random.Random, visitors: list[Session], pageviews: int, from_ms: int, to_ms: int, mix: Mix
) -> list[_Slot]:
    """Sessions of `pageviews` pageviews in all, each whole within the time given; new visitors join `visitors`."""
    slots = []
    while pageviews:
        pages = min(MAX_PAGES, pageviews, int((1 - rng.random()) ** -0.8))
        session = _visit(rng, visitors, mix)
        latest_ms = to_ms - 1 - sum(draw_gaps(session.seed, pages))
        slots.append(_Slot(from_ms + int(rng.random() * (latest_ms - from_ms + 1)), session.seed, pages, session))
        pageviews -= pages
    return sorted(slots, key=lambda slot: slot[:3])


def _visit(rng: random.Random, visitors: list[Session], mix: Mix) -> Session:
    """A session of a new visitor, or of one who was there before: a visitor's sender stays the same."""
    if not visitors or rng.random() < 0.6:
        published = rng.random() < mix.published
        robot, skewed = rng.random() < mix.robots, rng.random() < mix.skewed
        visitors.append(Session(draw_uuid(rng), "", published, robot, skewed, 0))
    visitor = visitors[int(rng.random() * len(visitors))]
    return replace(visitor, session_id=str(1 + int(rng.random() * 1_000_000)), seed=rng.getrandbits(48))


def _play(phase: int, slots: list[_Slot], retried: Collection[int], extras: Iterable[Planned]) -> Iterator[Planned]:
    """The sessions' pageviews and `extras` in the order of their turns; pageviews are counted through for `retried`."""
    tie = count()
    waiting = [(extra.due_ms, next(tie), extra) for extra in extras]
    heapq.heapify(waiting)
    number = count()
    for slot in slots:
        while waiting and waiting[0][0] < slot.start_ms:
            yield heapq.heappop(waiting)[2]
        for planned in _messages(phase, slot, number, retried):
            heapq.heappush(waiting, (planned.due_ms, next(tie), planned))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _messages(phase: int, slot: _Slot, number: Iterator[int], retried: Collection[int]) -> Iterator[Planned]:
    rng = random.Random(slot.seed + 2)
    times_ms = list(accumulate(draw_gaps(slot.seed, slot.pages), initial=slot.start_ms))
    for at_ms, event_id, value in pageviews_of(slot.session, times_ms):
        # The square makes most messages come at once, and a few come far out of their order.
        due_ms = at_ms + int(rng.random() ** 2 * DISORDER_MS)
        first = Planned(
            phase=phase, due_ms=due_ms, key=to_key(slot.session.uiud), value=value, fate=Fate.SESSION, event_id=event_id
        )
        yield first
        if next(number) in retried:
            again_ms = due_ms + int(rng.random() * (at_ms + DISORDER_MS - due_ms))
            yield replace(first, due_ms=again_ms, fate=Fate.DUPLICATE)


def _refused(rng: random.Random, mix: Mix, from_ms: int, to_ms: int, start_ms: int) -> Iterator[Planned]:
    for reason in Reason:
        for value in islice(bad_values(reason, start_ms, rng), mix.rejected_each):
            due_ms = from_ms + int(rng.random() * (to_ms - from_ms))
            yield Planned(phase=1, due_ms=due_ms, key=None, value=value, fate=Fate.REJECTED, reason=reason)


def _customs(rng: random.Random, mix: Mix, slots: list[_Slot]) -> Iterator[Planned]:
    for _ in range(mix.customs):
        slot = slots[int(rng.random() * len(slots))]
        event_id, value = custom(slot.session, slot.start_ms, rng)
        key = to_key(slot.session.uiud)
        yield Planned(phase=1, due_ms=slot.start_ms, key=key, value=value, fate=Fate.CUSTOM, event_id=event_id)


def _late(
    rng: random.Random, mix: Mix, visitors: list[Session], from_ms: int, to_ms: int, due_ms: int
) -> Iterator[Planned]:
    """Pageviews of a time whose windows have been over for more than LATE_BY_MS when phase 2 begins."""
    for _ in range(mix.late):
        session = _visit(rng, visitors, mix)
        at_ms = from_ms + int(rng.random() * (to_ms - from_ms))
        [(_, event_id, value)] = pageviews_of(session, [at_ms])
        key = to_key(session.uiud)
        yield Planned(phase=2, due_ms=due_ms, key=key, value=value, fate=Fate.LATE, event_id=event_id)


def _heartbeats(phase: int, at_ms: int, partitions: int) -> Iterator[Planned]:
    for partition in range(partitions):
        yield Planned(
            phase=phase, due_ms=at_ms, key=None, value=heartbeat(at_ms), fate=Fate.HEARTBEAT, partition=partition
        )
