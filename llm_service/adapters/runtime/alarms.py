"""Timeouts for what waits often: one for each wait, without a timer for each.

A stream waits twice for every token. gevent starts and stops a timer for each wait, which took a quarter of the calls of
Python that a token costs. An alarm is set with one call, and all alarms are looked at together, once in a tick.
"""

import math
import threading
import time
from collections.abc import Callable

import structlog

from llm_service.core.generation.ports import Spawn

TICK_S = 0.05
# How long the ticks go on without an alarm: starting them again costs more than a few ticks.
LINGER_S = 2.0
log = structlog.get_logger("llm_service")


class Alarm:
    """Satisfies `core.clock.Alarm`."""

    __slots__ = ("_alarms", "_due", "_ring")

    def __init__(self, ring: Callable[[], object], alarms: "Alarms") -> None:
        self._ring = ring
        self._alarms = alarms
        self._due = math.inf

    @property
    def rang(self) -> bool:
        return self._due == math.inf

    def set(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds

    def cancel(self) -> None:
        self._due = math.inf  # it may be about to ring
        self._alarms.remove(self)

    def ring_if_due(self, now: float) -> None:
        if self._due <= now:
            self._due = math.inf
            self._ring()


class Alarms:
    """All alarms of a process. Safe from threads and greenlets. The background task runs only while there are alarms."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._alarms: set[Alarm] = set()
        self._lock = threading.Lock()
        self._ticks = False

    def add(self, ring: Callable[[], object]) -> Alarm:
        alarm = Alarm(ring, self)
        with self._lock:
            self._alarms.add(alarm)
            starts, self._ticks = not self._ticks, True
        if starts:
            try:
                self._spawn(self._run)
            except BaseException:
                self._stopped()
                self.remove(alarm)
                raise
        return alarm

    def remove(self, alarm: Alarm) -> None:
        self._alarms.discard(alarm)

    def _run(self) -> None:
        try:
            self._tick()
        except BaseException:
            self._stopped()
            raise

    def _tick(self) -> None:
        used_at = time.monotonic()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            for alarm in tuple(self._alarms):
                try:
                    alarm.ring_if_due(now)
                except Exception as error:
                    log.error("unexpected error", exc_info=error)
            used_at = now if self._alarms else used_at
            if now - used_at > LINGER_S and self._ended():
                return

    def _stopped(self) -> None:
        """The next alarm starts the ticks again."""
        with self._lock:
            self._ticks = False

    def _ended(self) -> bool:
        with self._lock:
            self._ticks = bool(self._alarms)
            return not self._ticks
