"""Tells a starting process of the service whether others use the same database."""

import fcntl
import os
from pathlib import Path


class Presence:
    """Each process holds a shared lock on a file beside the database, until it ends, however it ends."""

    def __init__(self, database: Path) -> None:
        """`alone`: no other process of the service runs, and none gets past `settle` before this one.

        Raises `OSError`.
        """
        self._file: int | None = os.open(
            database.with_name(f".{database.name}.processes"), os.O_CREAT | os.O_RDWR, 0o600
        )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.alone = True
        except BlockingIOError:
            self.alone = False

    def settle(self) -> None:
        """Let others start. It waits for one that is alone and has not settled."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
