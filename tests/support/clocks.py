"""Clocks that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable

from llm_service.core.clock import Event

NOW_MS = 1_700_000_000_000


class ManualClock:
    """Time passes when something sleeps, or when the test says so.

    Waiting for an event is real: background threads of the test set it.
    """

    def __init__(self) -> None:
        # Deadlines go to adapters that look at the system's clock.
        self._begun = time.monotonic()
        self._elapsed_s = 0.0

    def now_ms(self) -> int:
        return NOW_MS + round(self._elapsed_s * 1000)

    def monotonic(self) -> float:
        return self._begun + self._elapsed_s

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def wait(self, event: Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)

    def advance(self, seconds: float) -> None:
        self._elapsed_s += seconds


def until(condition: Callable[[], object], within_s: float = 30) -> None:
    """Wait for a condition. The bound is far beyond what any machine needs: it only ends a test that would hang."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)
