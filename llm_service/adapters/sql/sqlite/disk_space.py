"""Whether the database's disk has room for more."""

import os
from pathlib import Path

from llm_service.core.errors import StorageFull

MIN_FREE_BYTES = 64 * 1024 * 1024


class DiskSpace:
    """Satisfies `StorageSpace`. Call `look` from time to time; `require` only asks the system again while it refuses."""

    def __init__(self, folder: Path, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self.look()

    def look(self) -> None:
        space = os.statvfs(self._folder)
        self._full = space.f_bavail * space.f_frsize < self._min_free_bytes

    def require(self) -> None:
        if self._full:
            self.look()
        if self._full:
            raise StorageFull("The disk of the database is nearly full.", retry_after_s=60)
