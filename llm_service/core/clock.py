"""Time and waiting for the core. No other module of the core sleeps or reads a clock."""

from typing import Protocol

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Waker(Protocol):
    """Wakes a waiting thread or greenlet; `threading.Event` satisfies it."""

    def set(self) -> None: ...


class Event(Waker, Protocol):
    """A clock can wait for it; `threading.Event` satisfies it."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Clock(Protocol):
    """Wall time for people, monotonic time for durations and deadlines."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Wait until the event is set, at most this long. Returns whether it is set."""
        ...
