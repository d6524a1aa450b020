"""Bounds what strangers can make the database do.

A key or session that this process has found valid before is always looked up. Of all others, only a few are looked up at
a time. Otherwise strangers could fill the queue in front of the database, and every caller would wait behind them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Overloaded

MAX_LOOKUPS = 50


class LookupLimit:
    """Thread-safe. Nobody waits for a lookup to begin."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MAX_LOOKUPS)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises `Overloaded` if too many are in progress."""
        if not self._free.acquire(blocking=False):
            raise Overloaded("Too many keys and sessions are being checked. Try again.", retry_after_s=1)
        try:
            yield
        finally:
            self._free.release()
