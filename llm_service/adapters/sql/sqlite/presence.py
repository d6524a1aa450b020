"""Tells the processes that use the same database of each other, through locks on a file beside it.

The kernel releases the locks of a process when it ends, however it ends. There are two kinds, which do not meet: `flock`
on the file tells that a process runs, and a lock on one byte of it that it runs a generation.
"""

import errno
import fcntl
import os
import platform
import struct
import threading
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from pathlib import Path

from llm_service.core.errors import StorageUnavailable

from ...new_files import open_private
from .file_system import owners

# `struct flock` of Linux: type, whence, start, length, pid.
_LOCK = struct.Struct("hhqqi4x")
# Before other tasks get their turn.
ASKED_TOGETHER = 50
# Nobody's generation.
_CHECKED = "check"


class ProcessesFileFault(Exception):
    """The file of the locks cannot be used. The message is for the operator."""


class Presence:
    """Satisfies the core's `Presence`. Opened once per process, after the fork.

    Each process holds a shared lock until it ends.
    """

    # Of no use here: the kernel knows which processes are alive.
    process_id = None
    # Who waits for a generation asks for itself.
    sweep_s = 20.0

    def __init__(self, database: Path) -> None:
        """`alone`: no other process of the service runs, and none gets past `settle` before this one.

        Raises `ProcessesFileFault`.
        """
        self._file: int | None = _open(database)
        self._mine: set[str] = set()
        # A generation may end in a thread while the process closes the file, and its number may then be another file's.
        self._using = threading.Lock()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.alone = True
        except BlockingIOError:
            self.alone = False

    def beat(self) -> None:
        """The kernel needs no sign of life."""

    def settle(self) -> None:
        """Let others start. It waits for one that is alone and has not settled."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def begin(self, request_id: str) -> None:
        with self._using:
            if self._file is None:
                return
            try:
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, request_id))
            except OSError as error:
                # Without it others would end the generation. The likely reason: the kernel has no memory for more locks.
                raise StorageUnavailable("The generation could not be announced.", retry_after_s=5) from error
            self._mine.add(request_id)

    def end(self, request_id: str) -> None:
        with self._using:
            if self._file is not None and request_id in self._mine:
                self._mine.discard(request_id)
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, request_id))

    def runs(self, request_id: str) -> bool:
        with self._using:
            # A lock of its own is not in the way of a process.
            if self._file is None or request_id in self._mine:
                return True
            found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, request_id))
        kind: int = _LOCK.unpack(found)[0]
        return kind != fcntl.F_UNLCK

    def dead_among(self, request_ids: Collection[str], pause: Callable[[], None]) -> Sequence[str]:
        """To ask the kernel for one takes the longer, the more of them run."""
        dead = []
        for number, request_id in enumerate(request_ids, 1):
            if not self.runs(request_id):
                dead.append(request_id)
            if not number % ASKED_TOGETHER:
                pause()
        return dead

    def close(self) -> None:
        with self._using:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def check_processes_file(database: Path) -> None:
    """Create the file if there is none. Raises `ProcessesFileFault` if it cannot be used."""
    os.close(_open(database))


def _open(database: Path) -> int:
    # Processes may know the database by different links.
    database = database.resolve()
    path = database.with_name(f".{database.name}.processes")
    try:
        file = open_private(path, os.O_RDWR, database)
    except OSError as error:
        raise ProcessesFileFault(
            f"{path} cannot be used: {error.strerror}. {owners(path)} The service's user must be able to write it: "
            f"chown USER {path}"
        ) from error
    try:
        _check_locks(file)
    except OSError as error:
        os.close(file)
        raise ProcessesFileFault(
            f"{path} cannot be locked: {error.strerror}. The service needs Linux, and locks of open file descriptions "
            "(F_OFD_SETLK) on the file system of the database."
        ) from error
    return file


def _check_locks(file: int) -> None:
    """Lock a byte as a reader, which others may do, too, and release it. Raises `OSError`."""
    if platform.system() != "Linux":
        raise OSError(errno.ENOSYS, f"this system is {platform.system()}")
    for kind in (fcntl.F_RDLCK, fcntl.F_UNLCK):
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(kind, _CHECKED))


def _lock(kind: int, request_id: str) -> bytes:
    """Of a generation's byte. The file stays empty: bytes behind its end can be locked."""
    place = int.from_bytes(blake2b(request_id.encode(), digest_size=8).digest()) >> 2
    return _LOCK.pack(kind, os.SEEK_SET, place, 1, 0)
