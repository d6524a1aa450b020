"""The cache of one process: bounded in entries and bytes, least recently used first, with a lifetime per entry."""

import threading
import time
from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any, Protocol

from cachetools import TTLCache

from llm_service.core.generation.model import CachedAnswer, CacheStats

# Incremented to make all processes empty their caches.
CACHE_EPOCH = "cache-cleared"
# What the cache itself needs for an entry, with its key and the small values of the answer.
ENTRY_BYTES = 700


class EpochStore(Protocol):
    """Named counters that all processes share; each starts at 0. All methods raise `StorageError`."""

    def get(self, name: str) -> int: ...

    def advance(self, name: str) -> int:
        """Add one and return the new value."""
        ...


class MemoryCache:
    """Each process has its own; `epochs` tells it (`poll`) that another process cleared all of them.

    `max_entries` 0 keeps nothing, and an answer larger than `max_bytes` is not kept. `timer` returns monotonic seconds. No
    method yields to another greenlet while it holds the lock, so it is safe for both kinds of worker.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        max_entries: int,
        max_bytes: int,
        epochs: EpochStore | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`epochs` None = there is no other process."""
        self._entries: TTLCache[str, CachedAnswer] = TTLCache(max_bytes, ttl_s, timer=timer, getsizeof=size_of)
        self._max_entries = max_entries
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

    def put(self, key: str, answer: CachedAnswer) -> bool:
        with self._lock:
            # What it replaces is old, also if there is no room for it.
            self._entries.pop(key, None)
            if not self._max_entries:
                return False
            try:
                self._entries[key] = answer
            except ValueError:  # larger than the whole cache
                return False
            while len(self._entries) > self._max_entries:
                self._entries.popitem()
            return True

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
                max_entries=self._max_entries,
                bytes=int(self._entries.currsize),
                max_bytes=int(self._entries.maxsize),
                hits=self._hits,
                misses=self._misses,
                coalesced=self._coalesced,
            )

    def _forget(self) -> int:
        with self._lock:
            entries = len(self._entries)
            self._entries.clear()
            return entries


def size_of(answer: CachedAnswer) -> int:
    """The bytes that the entry keeps in memory. Texts dominate: each is counted as it is stored, and once."""
    values = _Sizes()
    return ENTRY_BYTES + values.add(answer.input) + values.add(answer.output) + values.add(answer.parameters)


class _Sizes:
    """Adds up values of JSON; an object that was counted before costs nothing."""

    def __init__(self) -> None:
        self._counted: set[int] = set()

    def add(self, value: Any) -> int:
        size, left = 0, [value]
        while left:
            value = left.pop()
            if id(value) in self._counted:
                continue
            self._counted.add(id(value))
            size += getsizeof(value)
            if isinstance(value, str | int | float):
                continue
            if isinstance(value, Mapping):
                left.extend(value)
                left.extend(value.values())
            elif isinstance(value, list | tuple):
                left.extend(value)
        return size
