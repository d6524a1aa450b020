"""Limits a process's concurrent calls to a provider."""

import threading
from collections.abc import Sequence
from contextlib import suppress

from ..errors import Overloaded


class Bulkhead:
    """`size` slots. Callers never wait for a slot."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_use = 0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Raises `Overloaded` if no slot is free."""
        with self._lock:
            if self.in_use >= self.size:
                raise Overloaded("The service is making as many calls to models as it is allowed to.", retry_after_s=1)
            self.in_use += 1

    def release(self) -> None:
        with self._lock:
            self.in_use -= 1


class HeldSlot:
    """The slot of the provider that a call is using; a call that goes on with another provider takes it along."""

    def __init__(self) -> None:
        self._bulkhead: Bulkhead | None = None

    def take(self, bulkhead: Bulkhead) -> None:
        """Release the slot that it holds, and take one here. Raises `Overloaded`; then it holds none."""
        if bulkhead is not self._bulkhead:
            self.release()
            bulkhead.acquire()
            self._bulkhead = bulkhead

    def take_first_free(self, bulkheads: Sequence[Bulkhead]) -> int:
        """Take a slot of the first that has one; which. Raises `Overloaded` if none has."""
        for number, bulkhead in enumerate(bulkheads[:-1]):
            with suppress(Overloaded):
                self.take(bulkhead)
                return number
        self.take(bulkheads[-1])
        return len(bulkheads) - 1

    def release(self) -> None:
        if self._bulkhead is not None:
            self._bulkhead.release()
            self._bulkhead = None
