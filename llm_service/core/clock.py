"""Time and waiting, as the core needs them."""

from typing import Protocol


class Waker(Protocol):
    """Wakes who waits; `threading.Event` is one."""

    def set(self) -> None: ...


class Clock(Protocol):
    """Wall time for what people read, monotonic time for every duration and deadline."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...
