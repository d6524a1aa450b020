"""Counts events of the last seconds."""

from collections import deque
from collections.abc import Callable


class Window:
    """Event counts of the last `seconds`, by name, in one-second buckets. `timer` returns monotonic seconds."""

    def __init__(self, seconds: int, timer: Callable[[], float]) -> None:
        self._seconds = seconds
        self._timer = timer
        self._buckets: deque[tuple[int, dict[str, int]]] = deque()

    def add(self, what: str) -> None:
        second = int(self._timer())
        if not self._buckets or self._buckets[-1][0] != second:
            # While all goes well, nobody counts.
            self._drop_old()
            self._buckets.append((second, {}))
        counts = self._buckets[-1][1]
        counts[what] = counts.get(what, 0) + 1

    def count(self, what: str) -> int:
        self._drop_old()
        return sum(counts.get(what, 0) for _, counts in self._buckets)

    def clear(self) -> None:
        self._buckets.clear()

    def _drop_old(self) -> None:
        oldest = self._timer() - self._seconds
        while self._buckets and self._buckets[0][0] < oldest:
            self._buckets.popleft()
