"""Emptying the cache of every process: each keeps its own, and sees by a mark that another was told to."""

from typing import Protocol

from llm_service.core.generation.ports import Cache


class EpochStore(Protocol):
    """Counters that all processes see, each under a name; 0 at first. All methods raise `StorageError`."""

    def get(self, name: str) -> int: ...

    def advance(self, name: str) -> int:
        """One more; the new value."""


MARK = "cache-cleared"


class CacheInvalidator:
    """`look` wants to be called about once a second."""

    def __init__(self, cache: Cache, marks: EpochStore) -> None:
        self._cache = cache
        self._marks = marks
        self._seen = marks.get(MARK)

    def clear(self) -> int:
        """How many answers this process forgot; the others follow with their next look. Raises `StorageError`."""
        self._marks.advance(MARK)
        return self._cache.clear()

    def look(self) -> None:
        now = self._marks.get(MARK)
        if now != self._seen:
            self._seen = now
            self._cache.clear()
