"""Counters of one collector, in Prometheus' text form.

Plain numbers of the one thread that counts; the client library, whose counters take a lock each, only spells them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

PREFIX = "webevents_collector"
BOUNDS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0)
PLACES = ("kafka", "spool")


class Metrics:
    """What a collector counts. Labels are closed lists: nothing that a sender chooses becomes one."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._stored = dict.fromkeys(PLACES, 0)
        self._drained = self._robots = 0
        self._responses: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[str] = Counter()
        self._took = [0] * (len(BOUNDS_S) + 1)
        self._took_s = 0.0

    def stored(self, at: str, count: int) -> None:
        """`count` events are safe at "kafka" or on the "spool"."""
        self._stored[at] += count

    def drained(self, count: int) -> None:
        """`count` events went from the spool to Kafka."""
        self._drained += count

    def robots(self, count: int) -> None:
        """`count` events came from a known robot."""
        self._robots += count

    def responded(self, route: str, status: int) -> None:
        """One answer."""
        self._responses[route, status] += 1

    def refused(self, field: str) -> None:
        """One fault, in a field that the contract names, or in "body", "origin" and so on."""
        self._refused[field] += 1

    def took(self, seconds: float) -> None:
        """How long one request waited until its events were safe."""
        self._took[bisect_left(BOUNDS_S, seconds)] += 1
        self._took_s += seconds

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody asks."""
        Gauge(f"{PREFIX}_{name}", help_text, registry=self._registry).set_function(read)

    def to_text(self) -> bytes:
        """All of it, as a scraper reads it."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The counters, as the client library wants them."""
        yield _counter("events_stored", "Events answered with 2xx, by where they lay then.", ["at"],
                       {(at,): count for at, count in self._stored.items()})  # fmt: skip
        yield _counter("events_drained", "Events that went from the spool to Kafka.", [], {(): self._drained})
        yield _counter("events_of_robots", "Events of known robots.", [], {(): self._robots})
        yield _counter("responses", "Answers, by route and status.", ["route", "status"],
                       {(route, str(status)): count for (route, status), count in self._responses.items()})  # fmt: skip
        yield _counter("events_refused", "Events at fault, by the field.", ["field"],
                       {(field,): count for field, count in self._refused.items()})  # fmt: skip
        seconds = HistogramMetricFamily(f"{PREFIX}_store_seconds", "From the whole request to safe.")
        counts = zip((*map(str, BOUNDS_S), "+Inf"), map(float, accumulate(self._took)), strict=True)
        seconds.add_metric([], list(counts), self._took_s)
        yield seconds


def _counter(name: str, help_text: str, labels: list[str], counts: dict[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
