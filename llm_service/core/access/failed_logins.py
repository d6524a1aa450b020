"""Wrong keys, counted by the address that they come from: five in a minute, then it is told to wait.

A good key is never counted and never refused, so that nobody is locked out by whoever shares an address with them.
"""

import ipaddress

from ..clock import Clock
from .ports import FailedLoginStore

WRONG_PER_MINUTE = 5
WINDOW_MS = 60_000
MAX_REMEMBERED = 10_000
# Whoever has one address of IPv6 mostly has all of its network.
_IPV6_NETWORK = 64


class FailedLoginThrottle:
    """The count is shared by all processes; who is over it is remembered, so that a flood costs no writes."""

    def __init__(self, store: FailedLoginStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._over: dict[str, int] = {}

    def wrong(self, address: str | None) -> float | None:
        """Count one; the seconds to wait if it was one too many, else None. Raises `StorageError`."""
        name, now_ms = network_of(address), self._clock.now_ms()
        until_ms = self._over.get(name, 0)
        if until_ms <= now_ms:
            since_ms, count = self._store.count(name, now_ms, WINDOW_MS)
            if count <= WRONG_PER_MINUTE:
                return None
            until_ms = since_ms + WINDOW_MS
            self._remember(name, until_ms)
        return max(1.0, (until_ms - now_ms) / 1000)

    def prune(self) -> None:
        """Forget what is over."""
        self._store.remove_older(self._clock.now_ms() - WINDOW_MS)

    def _remember(self, name: str, until_ms: int) -> None:
        if len(self._over) >= MAX_REMEMBERED:
            self._over = {}
        self._over[name] = until_ms


def network_of(address: str | None) -> str:
    """The name that an address is counted under."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), _IPV6_NETWORK), strict=False))
    return str(ip)
