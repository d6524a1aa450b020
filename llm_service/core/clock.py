"""Time and waiting, as the core needs them. No other module of the core sleeps or looks at a clock."""

from typing import Protocol

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Waker(Protocol):
    """Wakes whoever waits; `threading.Event` is one."""

    def set(self) -> None: ...


class Event(Waker, Protocol):
    """What a clock can wait for; `threading.Event` is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Clock(Protocol):
    """Wall time for what people read, monotonic time for every duration and deadline."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Wait until the event is set, but no longer than this; whether it is set."""
        ...
