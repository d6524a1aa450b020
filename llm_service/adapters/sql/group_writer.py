"""One writer per process that commits in groups.

A durable commit costs a disk flush, for one row as for fifty. So callers that arrive during a commit wait and share the
next one. The first of them leads: it runs the group and then passes the lead on.

Nobody waits longer for the lock of others than it asked for (else `BUSY_TIMEOUT_S`), the time in the queue included: see
docs/decisions/0046-a-locked-database-is-busy-for-all.md.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from llm_service.core.errors import StorageError

from .compiled import Compiled

T = TypeVar("T")
Work = Callable[[Connection], Any]
MAX_GROUP = 200
BUSY_TIMEOUT_S = 5
# The database waits so long for a lock, and then those who are due before the next wait ends hear that it failed. So a write
# that may wait for less than the others need not wait for them.
BUSY_STEP_S = 0.25
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


class Job:
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


class Committer(Protocol):
    """Runs groups of jobs in transactions, one group at a time."""

    def commit(self, group: list[Job]) -> StorageError | None:
        """Give each job its result or its error. If the lock of others kept some from being served, returns that error.

        A job whose transaction failed gets the error only after it ran alone.
        """
        ...

    def when_free(self, function: Callable[[], object]) -> None:
        """Call `function` when a commit is over whose caller was killed."""
        ...

    def close(self) -> None: ...


def at_the_end(connection: Connection, work: Work) -> None:
    """Run `work` before the transaction is committed. Outside of a group, at once."""
    last: list[Work] | None = connection.info.get(_LAST)
    if last is None:
        work(connection)
    else:
        last.append(work)


def collect_last(connection: Connection) -> list[Work]:
    """What `at_the_end` gets in the transaction that begins: who runs the transaction calls it."""
    last: list[Work] = []
    connection.info[_LAST] = last
    return last


def run_works(connection: Connection, group: Sequence[Job]) -> None:
    """Run the group's works in their order, inserts into the same table together."""
    for statement, jobs in groupby(group, key=lambda job: getattr(job.work, "statement", job)):
        if isinstance(statement, Compiled):
            inserts: list[InsertRow] = [job.work for job in jobs]
            statement.execute(connection, *(insert.row for insert in inserts))
            for insert in inserts:
                insert.then(connection)
        else:
            for job in jobs:
                job.result = job.work(connection)


class GroupWriter:
    """Safe from threads and greenlets. It owns the committer."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._lock = threading.Lock()
        self._pending: deque[Job] = deque()
        self._leader: Job | None = None

    def run(self, work: Callable[[Connection], T], *, durable: bool, short: bool, wait_s: float = BUSY_TIMEOUT_S) -> T:
        """Run `work` inside a transaction; it is committed when this returns. `durable`: and flushed to the disk.

        `short`: it is about a few rows, found by an index. `wait_s`: for the lock of others; it is tried at least once.

        Raises what `work` or the commit raised, and `StorageBusy` if the database stays locked. If a group fails, its
        members run again one by one, so one caller's error does not fail the others. `work` may therefore run twice.
        """
        job = Job(work, durable=durable, short=short, wait_s=wait_s)
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
        self._committer.close()

    def _lead(self, leader: Job) -> None:
        with self._lock:
            group = [self._pending.popleft() for _ in range(min(MAX_GROUP, len(self._pending)))]
        try:
            locked = self._committer.commit(group)
            if locked is not None:
                group = self._refuse_due(group, locked)
        except BaseException:
            # The greenlet is killed. The commit may go on, and then another leads.
            leader.abandoned = True
            self._committer.when_free(lambda: self._hand_on(group))
            raise
        self._hand_on(group, leader)

    def _refuse_due(self, group: list[Job], locked: StorageError) -> list[Job]:
        """Refuse all jobs that would be due before another wait ends. Returns the group with them."""
        until = time.monotonic() + BUSY_STEP_S
        with self._lock:
            group = [*group, *(job for job in self._pending if job.due <= until)]
            self._pending = deque(job for job in self._pending if job.due > until)
        for job in group:
            if job.due <= until and not job.served:
                job.error = locked
        return group

    def _hand_on(self, group: Sequence[Job], leader: Job | None = None) -> None:
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

    def _abandon(self, job: Job) -> None:
        job.abandoned = True
        with self._lock:
            if job in self._pending:
                self._pending.remove(job)
            leads = self._leader is job
        if leads:
            self._hand_on(())
