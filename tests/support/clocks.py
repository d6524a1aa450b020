"""Clocks that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.clock import Alarm, Event

NOW_MS = 1_790_000_000_000


class ManualClock:
    """Time passes when something sleeps, or when the test says so: `ms` is the date, `sleeps` how often something slept.

    Waiting for an event is real: background threads of the test set it. So are alarms.
    """

    def __init__(self, ms: int = NOW_MS) -> None:
        self.ms = ms
        self.sleeps = 0
        # Deadlines also go to adapters that look at the system's clock.
        self._offset_s = time.monotonic() - ms / 1000
        self._real = SystemClock()

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self._offset_s + self.ms / 1000

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.advance(seconds)

    def wait(self, event: Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)

    def alarm(self, ring: Callable[[], object]) -> Alarm:
        return self._real.alarm(ring)

    def set_date(self, ms: int) -> None:
        """As an operator or NTP sets a clock: no time passes."""
        self._offset_s -= (ms - self.ms) / 1000
        self.ms = ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class HandTimer:
    """Seconds that a test sets, for what takes a function such as `time.monotonic`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def until(condition: Callable[[], object], within_s: float = 60) -> None:
    """Wait for a condition. The bound is far beyond what any machine needs: it only ends a test that would hang."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)
