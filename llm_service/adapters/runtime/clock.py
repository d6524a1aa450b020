"""The system's clock and the maker of ids."""

import time

import uuid_utils


class SystemClock:
    """Wall time in milliseconds, monotonic time in seconds."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def uuid7() -> str:
    """A new id that begins with its time (RFC 9562, version 7)."""
    return str(uuid_utils.uuid7())
