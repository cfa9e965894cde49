"""Pageviews that arrive in real time, at a steady rate: what the steady run's job reads while it runs.

    python -m bench.job.arrivals --kafka-servers HOST:PORT --topic T --rate 70000 --seconds 900 --visitors 250000
                                 --window-seconds 60 [--hot 0.1]

Each pageview is of one of the visitors, drawn at random, and has the time of its sending; with --hot the first visitor
has that share of all, as a robot may, and all have the same share of the rest. Messages are as long as those
of bench.job.topic. At the end prints JSON: how many were sent, and how many of each window.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from confluent_kafka import Producer

from bench.job.fill import PRODUCER, produce
from bench.job.topic import PAGES, SITE, to_text

BURST_S = 0.01
BODIES = 5_000


def main() -> None:
    """Send, and print what was sent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--visitors", type=int, required=True)
    parser.add_argument("--window-seconds", type=int, required=True)
    parser.add_argument("--hot", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps(send(given)), flush=True)


def send(given: argparse.Namespace) -> dict[str, object]:
    """Send at the given rate; a burst that comes late is as much longer as it is late."""
    rng = random.Random(given.seed)
    visitors, bodies = list(make_visitors(rng, given.visitors)), list(make_bodies(rng))
    shares = make_shares(given.visitors, given.hot) if given.hot else None
    producer = Producer({"bootstrap.servers": given.kafka_servers, **PRODUCER})
    counts: Counter[int] = Counter()
    sent, behind_s = 0, 0.0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < given.seconds:
        due = int(passed * given.rate) - sent
        now_ms = time.time_ns() // 1_000_000
        drawn = zip(rng.choices(visitors, cum_weights=shares, k=due), rng.choices(bodies, k=due), strict=True)
        for number, (visitor, body) in enumerate(drawn, sent):
            produce(producer, given.topic, make_message(now_ms, visitor, body, number), timestamp=now_ms)
        counts[now_ms // 1000 // given.window_seconds * given.window_seconds * 1000] += due
        sent += due
        behind_s = max(behind_s, due / given.rate)
        producer.poll(0)
        time.sleep(max(0.0, BURST_S - (time.monotonic() - began - passed)))
    left = producer.flush(120)
    if left:
        raise RuntimeError(f"the broker did not take {left} messages")
    return {"sent": sent, "seconds": time.monotonic() - began, "longest_burst_s": behind_s, "windows": dict(counts)}


def make_message(at_ms: int, visitor: bytes, body: bytes, number: int) -> bytes:
    """A pageview of that time; `number` is its event's."""
    head, tail = _around(at_ms)
    return head + visitor + body + b'"%032x"' % number + tail


@lru_cache(maxsize=1)
def _around(at_ms: int) -> tuple[bytes, bytes]:
    head = f'{{"timestamp":"{to_text(at_ms)}",'.encode()
    return head, b',"sentAt":%d,"receivedAt":%d,"seq":3}' % (at_ms, at_ms)


def make_visitors(rng: random.Random, count: int) -> Iterator[bytes]:
    """A visitor's part of the message, of one length for all."""
    for number in range(count):
        yield f'"uiud":"{number:08x}-{rng.getrandbits(96):024x}---","sessionId":"{rng.getrandbits(40):011x}",'.encode()


def make_shares(visitors: int, hot: float) -> list[float]:
    """Of all pageviews, those of the visitors up to each: the first one's is `hot` and its part of the rest."""
    return [hot + (1 - hot) * number / visitors for number in range(1, visitors + 1)]


def make_bodies(rng: random.Random) -> Iterator[bytes]:
    """A page's part of the message."""
    for number in range(BODIES):
        page = number % PAGES
        url = f"{SITE}/articles/{page % 12}/{page}-a-page-of-the-site.html"
        before = f"{SITE}/articles/{rng.randrange(12)}/{rng.randrange(PAGES)}-a-page-of-the-site.html"
        yield (
            f'"pageUrl":"{url}","eventType":"Pageview","lastPageVisited":"{before}",'
            f'"pageTitle":"Page {page} of the site","landingPage":"0","referrer":"direct","eventId":'
        ).encode()


if __name__ == "__main__":
    main()
