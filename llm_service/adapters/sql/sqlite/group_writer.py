"""A single writer that commits in groups.

A durable commit costs a disk flush, for one row as for fifty. So callers that arrive during a commit wait and share the
next one. The first of them leads: it runs the group and then passes the lead on.

Short work runs on the event loop, and only what takes long runs in a native thread: full-text indexing and the flush. In the
thread, each call of SQLite would take the interpreter's lock from the loop and back, which costs more than the call. A
group that nobody needs flushed is committed on the loop too: see docs/decisions/0036-hits-are-not-flushed.md.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Transaction

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
_LAST = "work at the end of this transaction"


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
    __slots__ = ("committed", "durable", "error", "finished", "result", "short", "turn", "work")

    def __init__(self, work: Work, *, durable: bool, short: bool) -> None:
        self.work: Any = work
        self.durable = durable
        self.short = short
        self.turn = threading.Event()
        self.committed = False
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None


def at_the_end(connection: Connection, work: Work) -> None:
    """Run `work` before the transaction is committed, in the thread. Without a `GroupWriter`, at once."""
    last: list[Work] | None = connection.info.get(_LAST)
    if last is None:
        work(connection)
    else:
        last.append(work)


class GroupWriter:
    """Owns the only connection that writes. Safe from threads and greenlets."""

    def __init__(self, connection: Connection, around: Callable[[Connection], AbstractContextManager[None]]) -> None:
        """`around` wraps each transaction, so once per group."""
        self._connection = connection
        self._around = around
        self._native = ThreadPool(1)
        self._lock = threading.Lock()
        self._pending: deque[_Job] = deque()
        self._leader: _Job | None = None
        # The connection is the thread's: it runs, or ran when its caller was killed.
        self._in_thread = False
        self._groups_on_loop = 0
        self._pragmas: dict[str, Any] = {}

    def run(self, work: Callable[[Connection], T], *, durable: bool, short: bool) -> T:
        """Run `work` inside a transaction; it is committed when this returns. `durable`: and flushed to the disk.

        `short`: it may run on the event loop.

        Raises what `work` or the commit raised. If a group fails, its members run again one by one, so one caller's
        error does not fail the others. `work` may therefore run twice.
        """
        job = _Job(work, durable=durable, short=short)
        with self._lock:
            self._pending.append(job)
            self._leader = self._leader or job
        try:
            if self._leader is job:
                time.sleep(0)  # requests that are ready to run join the group
            else:
                job.turn.wait()
        except BaseException:  # the greenlet is killed
            self._abandon(job)
            raise
        if not job.finished:
            self._lead()
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def close(self) -> None:
        """Wait for the current commit and close the connection."""
        self._native.run(self._connection.close)
        self._native.close()

    def _lead(self) -> None:
        with self._lock:
            group = [self._pending.popleft() for _ in range(min(MAX_GROUP, len(self._pending)))]
        try:
            if not self._commit_on_loop(group):
                self._run_in_thread(lambda: self._commit(group))
                self._groups_on_loop = 0
        except BaseException as error:
            _fail_unfinished(group, error)
            raise
        finally:
            self._hand_on(group)

    def _hand_on(self, group: Sequence[_Job]) -> None:
        with self._lock:
            following = self._leader = self._pending[0] if self._pending else None
        for job in group:
            job.finished = True
            job.turn.set()
        if following is not None:
            following.turn.set()

    def _abandon(self, job: _Job) -> None:
        with self._lock:
            if job in self._pending:
                self._pending.remove(job)
            leads = self._leader is job
        if leads:
            self._hand_on(())

    def _run_in_thread(self, function: Callable[[], T]) -> T:
        """If the caller is killed meanwhile, the thread goes on, and what follows waits for it in its queue."""
        self._in_thread = True
        result = self._native.run(function)
        self._in_thread = False
        return result

    def _commit_on_loop(self, group: list[_Job]) -> bool:
        """Commit without waiting for a lock; False: nothing was done, the thread must try."""
        if self._in_thread or self._groups_on_loop >= MAX_GROUPS_ON_LOOP or not all(job.short for job in group):
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
        durable = any(job.durable for job in group)
        self._configure(
            synchronous="FULL" if durable else "NORMAL",
            busy_timeout=0 if on_loop else BUSY_TIMEOUT_S * 1000,
            wal_autocheckpoint=0 if on_loop and not durable else CHECKPOINT_PAGES,
        )
        last: list[Work] = []
        self._connection.info[_LAST] = last
        transaction = self._connection.begin()
        try:
            with self._around(self._connection):
                self._work(group)
        except BaseException:
            transaction.close()
            raise
        if on_loop and (last or durable):
            error = self._run_in_thread(lambda: self._end(group, transaction, last))
        else:
            error = self._end(group, transaction, last)
        if error is not None:
            raise error

    def _end(self, group: list[_Job], transaction: Transaction, last: list[Work]) -> BaseException | None:
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

    def _work(self, group: list[_Job]) -> None:
        for statement, jobs in groupby(group, key=lambda job: getattr(job.work, "statement", job)):
            if isinstance(statement, Compiled):
                inserts: list[InsertRow] = [job.work for job in jobs]
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
