"""Clocks that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable


class Clock:
    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def until(condition: Callable[[], object], within_s: float = 30) -> None:
    """Wait for a condition. The bound is far beyond what any machine needs: it only ends a test that would hang."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)
