"""Limits a process's concurrent calls to a provider."""

import threading

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
