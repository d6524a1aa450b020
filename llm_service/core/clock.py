"""Time and waiting for the core. No other module of the core sleeps or reads a clock."""

from collections.abc import Callable
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


class Alarm(Protocol):
    """Calls a function after a time. For what waits often: setting it costs much less than a wait with a timeout."""

    @property
    def rang(self) -> bool:
        """Whether it rang since it was set."""
        ...

    def set(self, seconds: float) -> None:
        """Ring in `seconds`, or up to 0.1 s later; once, and instead of when it was set to before."""
        ...

    def cancel(self) -> None:
        """Never ring again. The caller of `alarm` must call this."""
        ...


MakeAlarm = Callable[[Callable[[], object]], Alarm]
"""The function must neither wait nor raise: all alarms are rung one after the other."""


class Clock(Protocol):
    """Wall time for people, monotonic time for durations and deadlines."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Wait until the event is set, at most this long. Returns whether it is set."""
        ...

    def alarm(self, ring: Callable[[], object]) -> Alarm:
        """As `MakeAlarm`."""
        ...
