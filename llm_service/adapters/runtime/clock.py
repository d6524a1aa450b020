"""The system clock and request ids."""

import time
from collections.abc import Callable
from functools import cached_property

import uuid_utils

from llm_service.core.clock import Event

from .alarms import Alarm, Alarms
from .background import make_spawn


class SystemClock:
    """Wall time in milliseconds, monotonic time in seconds. Under gevent both waits are cooperative."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)

    def alarm(self, ring: Callable[[], object]) -> Alarm:
        return self._alarms.add(ring)

    @cached_property
    def _alarms(self) -> Alarms:
        return Alarms(make_spawn())


def uuid7() -> str:
    """A new id that starts with the current time (RFC 9562, version 7)."""
    return str(uuid_utils.uuid7())
