"""Who in this process waits for generations of other processes, and is woken when they end."""

import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from ..clock import Clock
from ..wake_ups import ANY, Topic, WakeUps

# With as many ids, those that nobody waits for any more are forgotten.
TIDY_AT = 1000


class Ending(Protocol):
    """Of one generation, for one who waits. Its creator closes it."""

    def pause(self, seconds: float) -> float:
        """Wait, but not longer than until it may have ended, or `wake`. Returns the seconds waited."""
        ...

    def take_end(self) -> bool:
        """Whether it may have ended since it was asked last."""
        ...

    def wake(self) -> None:
        """End the pause, if it can be woken."""
        ...

    def close(self) -> None: ...


class Unannounced:
    """Nobody tells when it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def pause(self, seconds: float) -> float:
        self._clock.sleep(seconds)
        return seconds

    def take_end(self) -> bool:
        return True

    def wake(self) -> None:
        """It cannot be woken."""

    def close(self) -> None:
        """Nothing to close."""


class Announced:
    """Its process tells when it ends."""

    def __init__(self, clock: Clock, forget: Callable[["Announced"], None]) -> None:
        self._woken = threading.Event()
        self._may_have_ended = False
        self._clock = clock
        self._forget = forget

    def pause(self, seconds: float) -> float:
        begun = self._clock.monotonic()
        if self._clock.wait(self._woken, seconds):
            self._woken.clear()
        return self._clock.monotonic() - begun

    def end(self) -> None:
        """It may have ended."""
        self._may_have_ended = True
        self._woken.set()

    def take_end(self) -> bool:
        ended, self._may_have_ended = self._may_have_ended, False
        return ended

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._forget(self)


class Endings:
    """Built once per process, if there are wake-ups."""

    def __init__(self, wake_ups: WakeUps, clock: Clock) -> None:
        self._wake_ups = wake_ups
        self._clock = clock
        self._lock = threading.Lock()
        # Weakly: who never waits may also forget to close.
        self._waiting: dict[str, WeakSet[Announced]] = {}
        wake_ups.on(Topic.ENDED, self._wake)

    @property
    def held(self) -> int:
        """How many ids it holds."""
        return len(self._waiting)

    def of(self, request_id: str) -> Announced:
        """Its process hears that somebody waits. It also answers if the generation has ended meanwhile."""
        ending = Announced(self._clock, lambda ending: self._forget(request_id, ending))
        with self._lock:
            if len(self._waiting) >= TIDY_AT:
                self._waiting = {found: waiting for found, waiting in self._waiting.items() if waiting}
            self._waiting.setdefault(request_id, WeakSet()).add(ending)
        self._wake_ups.send(Topic.WATCH, request_id)
        return ending

    def _forget(self, request_id: str, ending: Announced) -> None:
        with self._lock:
            waiting = self._waiting.get(request_id, WeakSet())
            waiting.discard(ending)
            if not waiting:
                self._waiting.pop(request_id, None)

    def _wake(self, request_id: str) -> None:
        for found in self._all() if request_id == ANY else (request_id,):
            for ending in tuple(self._waiting.get(found, ())):
                ending.end()
            if request_id == ANY:
                # Its process may have missed this, too.
                self._wake_ups.send(Topic.WATCH, found)

    def _all(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(found for found, waiting in self._waiting.items() if waiting)
