"""The cache of one process: bounded, least recently used first, with a lifetime per entry."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from cachetools import TTLCache

from llm_service.core.generation.model import CachedAnswer, CacheStats

# Incremented to make all processes empty their caches.
CACHE_EPOCH = "cache-cleared"


class EpochStore(Protocol):
    """Named counters that all processes share; each starts at 0. All methods raise `StorageError`."""

    def get(self, name: str) -> int: ...

    def advance(self, name: str) -> int:
        """Add one and return the new value."""
        ...


class MemoryCache:
    """Each process has its own; `epochs` tells it (`poll`) that another process cleared all of them.

    `max_entries` 0 keeps nothing. `timer` returns monotonic seconds. No method yields to another greenlet while it
    holds the lock, so it is safe for both kinds of worker.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        max_entries: int,
        epochs: EpochStore | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`epochs` None = there is no other process."""
        self._entries: TTLCache[str, CachedAnswer] = TTLCache(max_entries, ttl_s, timer=timer)
        self._epochs = epochs
        self._epoch = epochs.get(CACHE_EPOCH) if epochs else 0
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0
        self._coalesced = 0

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        with self._lock:
            answer = self._entries.get(key)
            if not counted:
                return answer
            if answer is None:
                self._misses += 1
            else:
                self._hits += 1
            return answer

    def put(self, key: str, answer: CachedAnswer) -> None:
        with self._lock:
            if self._entries.maxsize:
                self._entries[key] = answer

    def count_coalesced(self) -> None:
        with self._lock:
            self._coalesced += 1

    def discard(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def discard_owner(self, owner: str) -> None:
        with self._lock:
            for key in [key for key, answer in self._entries.items() if answer.owner == owner]:
                del self._entries[key]

    def clear(self) -> int:
        if self._epochs:
            self._epoch = self._epochs.advance(CACHE_EPOCH)
        return self._forget()

    def poll(self) -> None:
        """Empty it if another process cleared the caches. Call it about once a second. Raises `StorageError`."""
        epoch = self._epochs.get(CACHE_EPOCH) if self._epochs else 0
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget()

    def health_error(self) -> str | None:
        """None: memory is always available."""
        return None

    def stats(self) -> CacheStats:
        with self._lock:
            self._entries.expire()
            return CacheStats(
                backend="memory",
                entries=len(self._entries),
                max_entries=int(self._entries.maxsize),
                hits=self._hits,
                misses=self._misses,
                coalesced=self._coalesced,
            )

    def _forget(self) -> int:
        with self._lock:
            entries = len(self._entries)
            self._entries.clear()
            return entries
