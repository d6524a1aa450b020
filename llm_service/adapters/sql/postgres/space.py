"""Whether the server's disk has room: only the server knows, and says so when it has none."""

import time

from llm_service.core.errors import StorageFull

REFUSE_S = 10


class ServerSpace:
    """Satisfies `StorageSpace`: refuses for some seconds after the server's disk was full, so that no call is paid for then."""

    def __init__(self) -> None:
        self._full_until = 0.0

    def was_full(self) -> None:
        self._full_until = time.monotonic() + REFUSE_S

    def look(self) -> None:
        """Nothing to look at from here."""

    def require(self) -> None:
        left = self._full_until - time.monotonic()
        if left > 0:
            raise StorageFull("The disk of the database is full.", retry_after_s=round(left) + 1)
