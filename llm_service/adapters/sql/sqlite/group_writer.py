"""A single writer that commits in groups.

A durable commit costs a disk flush, for one row as for fifty. So callers that arrive during a commit wait and share the
next one. The first of them leads: it runs the group and then passes the lead on.

Short work runs on the event loop, and only what takes long runs in a native thread: full-text indexing and the flush. In the
thread, each call of SQLite would take the interpreter's lock from the loop and back, which costs more than the call. A
group that nobody needs flushed is committed on the loop too: see docs/decisions/0036-hits-are-not-flushed.md.

Nobody waits longer for the lock of another process than it asked for (else `BUSY_TIMEOUT_S`), the time in the queue
included: see docs/decisions/0046-a-locked-database-is-busy-for-all.md.
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
from sqlalchemy.exc import DBAPIError

from ..compiled import Compiled
from ..errors import is_busy, storage_error
from .thread_pool import ThreadPool

T = TypeVar("T")
Work = Callable[[Connection], Any]
MAX_GROUP = 200
# A group in the thread also moves the log into the database's file, which may take a while.
MAX_GROUPS_ON_LOOP = 100
BUSY_TIMEOUT_S = 5
# SQLite waits so long for a lock, and then those who are due before the next wait ends hear that it failed. So a write that
# may wait for less than the others need not wait for them.
BUSY_STEP_S = 0.25
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


class _Locked(Exception):
    """Another process held the lock for as long as the group could wait."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(str(error))
        self.error = error


class _Job:
    """`due`: on the monotonic clock, when it has waited long enough for a lock."""

    __slots__ = ("abandoned", "committed", "due", "durable", "error", "finished", "result", "short", "turn", "work")

    def __init__(self, work: Work, *, durable: bool, short: bool, wait_s: float) -> None:
        self.work: Any = work
        self.durable = durable
        self.short = short
        self.due = time.monotonic() + wait_s
        self.turn = threading.Event()
        self.abandoned = False
        self.committed = False
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def served(self) -> bool:
        return self.committed or self.abandoned or self.error is not None


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
        self._groups_on_loop = 0
        self._pragmas: dict[str, Any] = {}

    def run(self, work: Callable[[Connection], T], *, durable: bool, short: bool, wait_s: float = BUSY_TIMEOUT_S) -> T:
        """Run `work` inside a transaction; it is committed when this returns. `durable`: and flushed to the disk.

        `short`: it may run on the event loop. `wait_s`: for the lock of another process; it is tried at least once.

        Raises what `work` or the commit raised, and `StorageBusy` if the database stays locked. If a group fails, its
        members run again one by one, so one caller's error does not fail the others. `work` may therefore run twice.
        """
        job = _Job(work, durable=durable, short=short, wait_s=wait_s)
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
        while not job.finished:
            self._lead(job)
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def close(self) -> None:
        """Wait for the current commit and close the connection."""
        self._native.run(self._connection.close)
        self._native.close()

    def _lead(self, leader: _Job) -> None:
        with self._lock:
            group = [self._pending.popleft() for _ in range(min(MAX_GROUP, len(self._pending)))]
        try:
            if not self._commit_on_loop(group):
                locked = self._native.run(lambda: self._commit(group))
                self._groups_on_loop = 0
                if locked is not None:
                    group = self._refuse_due(group, locked)
        except BaseException:
            # The greenlet is killed. The thread goes on with the connection, and then another leads.
            leader.abandoned = True
            self._native.after_others(lambda: self._hand_on(group))
            raise
        self._hand_on(group, leader)

    def _refuse_due(self, group: list[_Job], locked: _Locked) -> list[_Job]:
        """Refuse all jobs that would be due before another wait ends, as busy. Returns the group with them."""
        until = time.monotonic() + BUSY_STEP_S
        with self._lock:
            group = [*group, *(job for job in self._pending if job.due <= until)]
            self._pending = deque(job for job in self._pending if job.due > until)
        for job in group:
            if job.due <= until and not job.served:
                job.error = storage_error(locked.error)
                job.error.__cause__ = locked.error
        return group

    def _hand_on(self, group: Sequence[_Job], leader: _Job | None = None) -> None:
        """Give the group its results. Jobs that were not served go back to the front of the queue.

        The lead goes to the next, unless `leader` was not served: it is awake and goes on.
        """
        with self._lock:
            self._pending.extendleft(job for job in reversed(group) if not job.served)
            if leader is not None and not leader.served:
                following = None
            else:
                following = self._leader = self._pending[0] if self._pending else None
        for job in group:
            if job.served:
                job.finished = True
                job.turn.set()
        if following is not None:
            following.turn.set()

    def _abandon(self, job: _Job) -> None:
        job.abandoned = True
        with self._lock:
            if job in self._pending:
                self._pending.remove(job)
            leads = self._leader is job
        if leads:
            self._hand_on(())

    def _commit_on_loop(self, group: list[_Job]) -> bool:
        """Commit without waiting for a lock; False: nothing was done, the thread must try."""
        if self._groups_on_loop >= MAX_GROUPS_ON_LOOP or not all(job.short for job in group):
            return False
        self._groups_on_loop += 1
        try:
            self._transact(group, on_loop=True)
        except Exception:  # another process writes, the disk is full, ...: the thread waits, or reports it
            return False
        return True

    def _commit(self, group: list[_Job]) -> _Locked | None:
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

    def _transact(self, group: list[_Job], *, on_loop: bool) -> None:
        durable = any(job.durable for job in group)
        self._configure(
            synchronous="FULL" if durable else "NORMAL",
            busy_timeout=0 if on_loop else round(BUSY_STEP_S * 1000),
            wal_autocheckpoint=0 if on_loop and not durable else CHECKPOINT_PAGES,
        )
        last: list[Work] = []
        self._connection.info[_LAST] = last
        try:
            transaction = self._connection.begin()
        except DBAPIError as error:
            if is_busy(error):
                raise _Locked(error) from error
            raise
        try:
            with self._around(self._connection):
                self._work(group)
        except BaseException:
            transaction.close()
            raise
        if on_loop and (last or durable):
            failure = self._native.run(lambda: self._end(group, transaction, last))
        else:
            failure = self._end(group, transaction, last)
        if failure is not None:
            raise failure

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
