"""Rate by address, and which address a request has."""

import pytest

from collector.limits import Buckets, to_address


def test_a_burst_of_ten_seconds_then_the_rate() -> None:
    buckets = Buckets(10)
    assert [buckets.take("a", 1, 0.0) for _ in range(101)] == [True] * 100 + [False]
    assert [buckets.take("a", 1, 1.0) for _ in range(11)] == [True] * 10 + [False]
    assert buckets.take("b", 1, 1.0)


def test_a_large_request_is_taken_whole_and_paid_for_later() -> None:
    buckets = Buckets(10)
    assert buckets.take("a", 150, 0.0)
    assert not buckets.take("a", 1, 5.0)
    assert buckets.take("a", 1, 5.2)


def test_memory_does_not_grow_with_the_number_of_senders() -> None:
    buckets = Buckets(1, addresses=100)
    for number in range(10_000):
        buckets.take(str(number), 1, 0.0)
    assert len(buckets._tokens) == 100


ADDRESSES = {
    "without a proxy the header is the sender's word": ("198.51.100.1", "203.0.113.9", 0, "198.51.100.1"),
    "one proxy: the last entry": ("10.0.0.1", "6.6.6.6, 203.0.113.9", 1, "203.0.113.9"),
    "two proxies: the last but one": ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
    "fewer entries than proxies: the peer": ("10.0.0.1", "", 1, "10.0.0.1"),
    "IPv6 counts by its /64": ("2001:db8:1:2:3:4:5:6", "", 0, "2001:db8:1:2::/64"),
    "an entry that is no address: the peer": ("10.0.0.1", "a:b:c", 1, "10.0.0.1"),
}


@pytest.mark.parametrize(("peer", "forwarded", "hops", "address"), ADDRESSES.values(), ids=ADDRESSES)
def test_the_address(peer: str, forwarded: str, hops: int, address: str) -> None:
    assert to_address(peer, forwarded, hops) == address
