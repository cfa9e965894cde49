"""How much one address may send, and which address a request has. Addresses live in memory only."""

import ipaddress
from collections import OrderedDict

ADDRESSES = 65_536
BURST_S = 10
"""An address that was quiet may send this many seconds' worth at once."""


class Buckets:
    """A token bucket an address, for the addresses seen last: memory does not grow with the number of senders."""

    def __init__(self, per_s: float, *, addresses: int = ADDRESSES) -> None:
        self._per_s, self._burst, self._addresses = per_s, per_s * BURST_S, addresses
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, count: int, now: float) -> bool:
        """Take `count` tokens at `now`, in seconds of a monotonic clock; False when `address` has none left.

        A request that began with a token is never cut: the bucket goes below zero and the next one waits.
        """
        tokens, at = self._tokens.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_s)
        allowed = tokens >= 1
        self._tokens[address] = (tokens - count if allowed else tokens, now)
        if len(self._tokens) > self._addresses:
            self._tokens.popitem(last=False)
        return allowed


def to_address(peer: str, forwarded_for: str, trusted_hops: int) -> str:
    """The sender's address; of IPv6 the /64 that one household has.

    X-Forwarded-For counts only as far as proxies of ours wrote it: the last `trusted_hops` entries.
    """
    address = peer
    if trusted_hops:
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        address = hops[-trusted_hops] if len(hops) >= trusted_hops else peer
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.split("%")[0].strip("[]"), 64), strict=False))
    except ValueError:
        return peer
