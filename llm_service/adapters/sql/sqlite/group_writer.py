"""Commits groups to the SQLite file, over the only connection that writes.

Short work runs on the event loop, and only what takes long runs in a native thread: full-text indexing and the flush. In the
thread, each call of SQLite would take the interpreter's lock from the loop and back, which costs more than the call. A
group that nobody needs flushed is committed on the loop too: see docs/decisions/0036-hits-are-not-flushed.md.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Transaction
from sqlalchemy.exc import DBAPIError

from llm_service.core.errors import StorageError

from ..errors import is_busy, storage_error
from ..group_writer import BUSY_STEP_S, Job, Work, collect_last, run_works
from .thread_pool import ThreadPool

# A group in the thread also moves the log into the database's file, which may take a while.
MAX_GROUPS_ON_LOOP = 100
CHECKPOINT_PAGES = 1000  # SQLite's default


class _Locked(Exception):
    """Another process held the lock for as long as the group could wait."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(str(error))
        self.error = error


class SqliteCommitter:
    """Satisfies `Committer`."""

    def __init__(self, connection: Connection, around: Callable[[Connection], AbstractContextManager[None]]) -> None:
        """`around` wraps each transaction, so once per group."""
        self._connection = connection
        self._around = around
        self._native = ThreadPool(1)
        self._groups_on_loop = 0
        self._pragmas: dict[str, Any] = {}

    def commit(self, group: list[Job]) -> StorageError | None:
        if self._commit_on_loop(group):
            return None
        locked = self._native.run(lambda: self._commit(group))
        self._groups_on_loop = 0
        if locked is None:
            return None
        refusal = storage_error(locked.error)
        refusal.__cause__ = locked.error
        return refusal

    def when_free(self, function: Callable[[], object]) -> None:
        self._native.after_others(function)

    def close(self) -> None:
        self._native.run(self._connection.close)
        self._native.close()

    def _commit_on_loop(self, group: list[Job]) -> bool:
        """Commit without waiting for a lock; False: nothing was done, the thread must try."""
        if self._groups_on_loop >= MAX_GROUPS_ON_LOOP or not all(job.short for job in group):
            return False
        self._groups_on_loop += 1
        try:
            self._transact(group, on_loop=True)
        except Exception:  # another process writes, the disk is full, ...: the thread waits, or reports it
            return False
        return True

    def _commit(self, group: list[Job]) -> _Locked | None:
        """Runs in the native thread: no logging, no shared lock. Returns why some were not served."""
        try:
            self._transact(group, on_loop=False)
        except _Locked as locked:
            return locked
        except BaseException as error:
            if len(group) > 1:
                return next(filter(None, (self._commit([job]) for job in group)), None)
            group[0].error = error
        return None

    def _transact(self, group: list[Job], *, on_loop: bool) -> None:
        durable = any(job.durable for job in group)
        self._configure(
            synchronous="FULL" if durable else "NORMAL",
            busy_timeout=0 if on_loop else round(BUSY_STEP_S * 1000),
            wal_autocheckpoint=0 if on_loop and not durable else CHECKPOINT_PAGES,
        )
        last = collect_last(self._connection)
        try:
            transaction = self._connection.begin()
        except DBAPIError as error:
            if is_busy(error):
                raise _Locked(error) from error
            raise
        try:
            with self._around(self._connection):
                run_works(self._connection, group)
        except BaseException:
            transaction.close()
            raise
        if on_loop and (last or durable):
            failure = self._native.run(lambda: self._end(group, transaction, last))
        else:
            failure = self._end(group, transaction, last)
        if failure is not None:
            raise failure

    def _end(self, group: list[Job], transaction: Transaction, last: list[Work]) -> BaseException | None:
        """Commit, or roll back and return the error: only the thread may touch the transaction while it is there."""
        try:
            for work in last:
                work(self._connection)
            transaction.commit()
        except BaseException as error:
            transaction.close()
            return error
        for job in group:
            job.committed = True
        return None

    def _configure(self, **pragmas: Any) -> None:
        """Outside of SQLAlchemy, which would begin a transaction, in which `synchronous` cannot change."""
        driver: Any = self._connection.connection.driver_connection
        if self._connection.in_transaction() or driver.in_transaction:
            # BEGIN can fail, in a file that turned read-only, and leave a transaction.
            self._connection.rollback()
            driver.rollback()
        for name, value in pragmas.items():
            if self._pragmas.get(name) != value:
                driver.execute(f"PRAGMA {name}={value}")
                self._pragmas[name] = value
