"""Clocks that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable
from dataclasses import dataclass


class Clock:
    """The date stands still; durations are real."""

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class HandClock:
    """A clock that a test moves: `ms` is both the date and the time that has passed."""

    ms: int = 1_790_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class HandTimer:
    """Seconds that a test sets, for what takes a function such as `time.monotonic`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def until(condition: Callable[[], object], within_s: float = 30) -> None:
    """Wait for a condition. The bound is far beyond what any machine needs: it only ends a test that would hang."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)
