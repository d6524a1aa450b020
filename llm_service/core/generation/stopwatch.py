"""Measures the steps of a request."""

from ..clock import Clock


class Stopwatch:
    """Milliseconds since the start, and per named lap (a name used twice adds up)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._last = clock.monotonic()
        self.laps_ms: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._clock.monotonic()
        self.laps_ms[name] = self.laps_ms.get(name, 0.0) + (now - self._last) * 1000
        self._last = now

    def total_ms(self) -> float:
        return (self._clock.monotonic() - self._start) * 1000
