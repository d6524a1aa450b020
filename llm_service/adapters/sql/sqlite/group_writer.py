"""A single writer that commits in groups.

A durable commit costs a disk flush, for one row as for fifty. So callers that arrive during a commit wait and share the
next one. The first of them leads: it runs the group in a native thread and then passes the lead on.

A group without a durable member commits on the event loop, unflushed: a thread would cost more than the commit. See
docs/decisions/0036-hits-are-not-flushed.md.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from llm_service.core.errors import StorageUnavailable

from ..compiled import Compiled
from .thread_pool import ThreadPool

T = TypeVar("T")
Work = Callable[[Connection], Any]
MAX_GROUP = 200
# A group in the thread also moves the log into the database's file, which may take a while.
MAX_GROUPS_ON_LOOP = 100
BUSY_TIMEOUT_S = 5
CHECKPOINT_PAGES = 1000  # SQLite's default


@dataclass(frozen=True, slots=True)
class InsertRow:
    """Work that a group combines: rows for the same statement (the same object) are inserted in one call.

    `then` runs afterwards, for each row.
    """

    statement: Compiled
    row: Mapping[str, Any]
    then: Callable[[Connection], None]

    def __call__(self, connection: Connection) -> None:
        self.statement.execute(connection, self.row)
        self.then(connection)


class _Job:
    __slots__ = ("committed", "durable", "error", "finished", "result", "turn", "work")

    def __init__(self, work: Work, durable: bool) -> None:
        self.work = work
        self.durable = durable
        self.turn = threading.Event()
        self.committed = False
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None


class GroupWriter:
    """Owns the only connection that writes. Safe from threads and greenlets."""

    def __init__(self, connection: Connection, around: Callable[[Connection], AbstractContextManager[None]]) -> None:
        """`around` wraps each transaction, so once per group."""
        self._connection = connection
        self._around = around
        self._native = ThreadPool(1)
        self._lock = threading.Lock()
        self._pending: deque[_Job] = deque()
        self._busy = False
        self._groups_on_loop = 0
        self._on_loop = False

    def run(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run `work` inside a transaction; it is committed when this returns. `durable`: and flushed to the disk.

        Raises what `work` or the commit raised. If a group fails, its members run again one by one, so one caller's
        error does not fail the others. `work` may therefore run twice.
        """
        job = _Job(work, durable)
        with self._lock:
            self._pending.append(job)
            leads = not self._busy
            self._busy = True
        if leads:
            time.sleep(0)  # requests that are ready to run join the group
        else:
            job.turn.wait()
        if not job.finished:
            self._lead()
        if job.error is not None:
            raise job.error
        return cast(T, job.result)

    def close(self) -> None:
        """Wait for the current commit and close the connection."""
        self._native.run(self._connection.close)
        self._native.close()

    def _lead(self) -> None:
        with self._lock:
            group = [self._pending.popleft() for _ in range(min(MAX_GROUP, len(self._pending)))]
        try:
            if not self._commit_on_loop(group):
                self._groups_on_loop = 0
                self._native.run(lambda: self._commit(group))
        except BaseException as error:
            _fail_unfinished(group, error)
            raise
        finally:
            self._hand_on(group)

    def _hand_on(self, group: list[_Job]) -> None:
        with self._lock:
            following = self._pending[0] if self._pending else None
            self._busy = following is not None
        for job in group:
            job.finished = True
            job.turn.set()
        if following is not None:
            following.turn.set()

    def _commit_on_loop(self, group: list[_Job]) -> bool:
        """Commit without waiting for anything; False: nothing was done, the thread must try."""
        if any(job.durable for job in group) or self._groups_on_loop >= MAX_GROUPS_ON_LOOP:
            return False
        self._groups_on_loop += 1
        try:
            self._transact(group, on_loop=True)
        except Exception:  # another process writes, the disk is full, ...: the thread waits, or reports it
            return False
        return True

    def _commit(self, group: list[_Job]) -> None:
        """Runs in the native thread: no logging, no shared lock."""
        try:
            self._transact(group, on_loop=False)
        except BaseException as error:
            if len(group) == 1:
                group[0].error = error
                return
            for job in group:
                self._commit([job])

    def _transact(self, group: list[_Job], *, on_loop: bool) -> None:
        self._set_waits(on_loop)
        with self._connection.begin(), self._around(self._connection):
            self._work(group)
        for job in group:
            job.committed = True

    def _set_waits(self, on_loop: bool) -> None:
        """On the event loop: wait for no disk and no lock."""
        if on_loop is self._on_loop:
            return
        # Outside of SQLAlchemy, which would begin a transaction, in which `synchronous` cannot change.
        driver: Any = self._connection.connection.driver_connection
        driver.execute(f"PRAGMA synchronous={'NORMAL' if on_loop else 'FULL'}")
        driver.execute(f"PRAGMA busy_timeout={0 if on_loop else BUSY_TIMEOUT_S * 1000}")
        driver.execute(f"PRAGMA wal_autocheckpoint={0 if on_loop else CHECKPOINT_PAGES}")
        self._on_loop = on_loop

    def _work(self, group: list[_Job]) -> None:
        for statement, jobs in groupby(group, key=lambda job: getattr(job.work, "statement", job)):
            if isinstance(statement, Compiled):
                inserts = [cast(InsertRow, job.work) for job in jobs]
                statement.execute(self._connection, *(insert.row for insert in inserts))
                for insert in inserts:
                    insert.then(self._connection)
            else:
                for job in jobs:
                    job.result = job.work(self._connection)


def _fail_unfinished(group: list[_Job], error: BaseException) -> None:
    for job in group:
        if not job.committed and job.error is None:
            job.error = StorageUnavailable("The write was interrupted.", retry_after_s=1)
            job.error.__cause__ = error
