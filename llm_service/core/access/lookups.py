"""Bounds what callers can make the database do while it is asked who they are.

Those who come at the same time with the same key share one lookup: a program that sends hundreds of requests at once would
otherwise take every connection for its key, again and again.

A key or session that this process has found valid before is always looked up. Of all others, only a few are looked up at
a time. Otherwise strangers could fill the queue in front of the database, and every caller would wait behind them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import Overloaded

T = TypeVar("T")
MAX_LOOKUPS = 50


class LookupLimit:
    """Thread-safe. Nobody waits for a lookup to begin."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MAX_LOOKUPS)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises `Overloaded` if too many are in progress."""
        if not self._free.acquire(blocking=False):
            raise Overloaded("Too many keys and sessions are being checked. Try again.", retry_after_s=1)
        try:
            yield
        finally:
            self._free.release()


@dataclass
class _Lookup(Generic[T]):
    ended: threading.Event = field(default_factory=threading.Event)
    found: T | None = None


class SharedLookups(Generic[T]):
    """Thread-safe. What began before an event that changes the answer must be in another object than what begins after it."""

    def __init__(self) -> None:
        self._running: dict[bytes, _Lookup[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes, look: Callable[[], T]) -> T:
        """What `look` returns, here or for another who asks for the same. Who waited for one that failed looks itself."""
        with self._lock:
            lookup = self._running.get(key)
            mine = lookup is None
            lookup = self._running.setdefault(key, _Lookup())
        if not mine:
            lookup.ended.wait()
            return look() if lookup.found is None else lookup.found
        try:
            lookup.found = look()
            return lookup.found
        finally:
            with self._lock:
                del self._running[key]
            lookup.ended.set()
