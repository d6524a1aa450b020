"""What recent requests were made of: a cache hit repeats one, and need not be parsed and rendered again.

It is forgotten after a minute, so that deleted text is not kept here.
"""

import threading
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from ..clock import Clock

V = TypeVar("V")
KEPT_S = 60.0
MAX_CHARS = 4_000_000
MAX_CHARS_OF_ONE = 40_000
# The memory of a small entry, in characters.
_OVERHEAD = 1000


class _Entry(NamedTuple):
    value: object
    until: float
    chars: int


class Recent(Generic[V]):
    """Values by what they are a function of. Nobody may change them: equal requests share them.

    All are kept equally long, so the first in the dict is always the oldest.
    """

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._entries: dict[Hashable, _Entry] = {}
        self._chars = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        entry = self._entries.get(key)
        if entry is None or entry.until <= self._monotonic():
            return None
        return entry.value  # type: ignore[return-value]

    def put(self, key: Hashable, value: V, chars: int) -> None:
        """`chars`: the text of both. Too much is not kept."""
        if chars > MAX_CHARS_OF_ONE:
            return
        size = chars + _OVERHEAD
        with self._lock:
            self._remove(key)
            while self._chars + size > MAX_CHARS:
                self._remove(next(iter(self._entries)))
            self._entries[key] = _Entry(value, self._monotonic() + KEPT_S, size)
            self._chars += size

    def expire(self) -> None:
        """Free the memory of what is forgotten."""
        now = self._monotonic()
        with self._lock:
            for key in [key for key, entry in self._entries.items() if entry.until <= now]:
                self._remove(key)

    def _remove(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self._chars -= entry.chars if entry else 0
