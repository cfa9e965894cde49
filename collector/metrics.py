"""Counters of one collector, in Prometheus' text form."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

PREFIX = "webevents_collector"


class Metrics:
    """What a collector counts. Labels are closed lists: nothing that a sender chooses becomes one."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        stored = Counter(f"{PREFIX}_events_stored", "Events answered with 2xx, by where they lay then.", ["at"],
                         registry=self._registry)  # fmt: skip
        self._stored = {at: stored.labels(at) for at in ("kafka", "spool")}
        self._drained = Counter(f"{PREFIX}_events_drained", "Events that went from the spool to Kafka.",
                                registry=self._registry)  # fmt: skip
        self._robots = Counter(f"{PREFIX}_events_of_robots", "Events of known robots.", registry=self._registry)
        self._responses = Counter(f"{PREFIX}_responses", "Answers, by route and status.", ["route", "status"],
                                  registry=self._registry)  # fmt: skip
        self._responded: dict[tuple[str, int], Counter] = {}
        self._refused = Counter(f"{PREFIX}_events_refused", "Events at fault, by the field.", ["field"],
                                registry=self._registry)  # fmt: skip
        self._seconds = Histogram(f"{PREFIX}_store_seconds", "From the whole request to safe.", registry=self._registry,
                                  buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 5))  # fmt: skip

    def stored(self, at: str, count: int) -> None:
        """`count` events are safe at "kafka" or on the "spool"."""
        self._stored[at].inc(count)

    def drained(self, count: int) -> None:
        """`count` events went from the spool to Kafka."""
        self._drained.inc(count)

    def robots(self, count: int) -> None:
        """`count` events came from a known robot."""
        self._robots.inc(count)

    def responded(self, route: str, status: int) -> None:
        """One answer."""
        child = self._responded.get((route, status))
        if child is None:
            child = self._responded[route, status] = self._responses.labels(route, status)
        child.inc()

    def refused(self, field: str) -> None:
        """One fault, in a field that the contract names, or in "body", "origin" and so on."""
        self._refused.labels(field).inc()

    def took(self, seconds: float) -> None:
        """How long one request waited until its events were safe."""
        self._seconds.observe(seconds)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody asks."""
        Gauge(f"{PREFIX}_{name}", help_text, registry=self._registry).set_function(read)

    def to_text(self) -> bytes:
        """All of it, as a scraper reads it."""
        return generate_latest(self._registry)
