"""Time and waiting, as the core needs them."""

from typing import Protocol

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Waker(Protocol):
    """Wakes who waits; `threading.Event` is one."""

    def set(self) -> None: ...


class Clock(Protocol):
    """Wall time for what people read, monotonic time for every duration and deadline."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...
