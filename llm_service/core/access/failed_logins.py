"""Limits failed logins: five invalid keys per minute and client address.

A valid key is never counted and never refused, so nobody can lock out others who share their address.
"""

import ipaddress
from collections import Counter

from ..clock import MINUTE_MS, Clock
from .lookups import LookupLimit
from .ports import FailedLoginStore

MAX_FAILURES = 5
WINDOW_MS = MINUTE_MS
MAX_BLOCKED = 10_000
# Who has one IPv6 address usually has the whole network.
_IPV6_NETWORK = 64


class FailedLoginThrottle:
    """All processes share the counts. Blocked addresses are kept in memory, so a flood of requests costs no writes."""

    def __init__(self, store: FailedLoginStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._blocked: dict[str, int] = {}
        # Failures that are being written now, by network.
        self._counting: Counter[str] = Counter()
        self._writes = LookupLimit()

    def record_failure(self, address: str | None) -> float | None:
        """Count a failure. Returns the seconds to wait if that is one too many.

        Raises `StorageError`, and `Overloaded` while failures from many addresses are written.
        """
        name, now_ms = network_of(address), self._clock.now_ms()
        until_ms = self._blocked.get(name, 0)
        if until_ms <= now_ms:
            if self._counting[name] > MAX_FAILURES:
                return WINDOW_MS / 1000  # those that are being written block it: a thousand at once cost no more writes
            since_ms, count = self._count(name, now_ms)
            if count <= MAX_FAILURES:
                return None
            until_ms = since_ms + WINDOW_MS
            self._block(name, until_ms)
        return max(1.0, (until_ms - now_ms) / 1000)

    def _count(self, name: str, now_ms: int) -> tuple[int, int]:
        self._counting[name] += 1
        try:
            with self._writes.one_more():
                return self._store.count(name, now_ms, WINDOW_MS)
        finally:
            self._counting[name] -= 1
            if self._counting[name] <= 0:
                del self._counting[name]

    def prune(self) -> None:
        """Delete counts whose minute has passed."""
        self._store.remove_older(self._clock.now_ms() - WINDOW_MS)

    def _block(self, name: str, until_ms: int) -> None:
        if len(self._blocked) >= MAX_BLOCKED:
            self._blocked = {}
        self._blocked[name] = until_ms


def network_of(address: str | None) -> str:
    """The name under which an address is counted."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), _IPV6_NETWORK), strict=False))
    return str(ip)
