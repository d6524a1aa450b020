"""A single writer that commits in groups.

Every commit is durable (`synchronous=FULL`) and costs a disk flush, for one row as for fifty. So callers that arrive
during a commit wait and share the next one. The first of them leads: it runs the group in a native thread and then
passes the lead on.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Insert

from llm_service.core.errors import StorageUnavailable

from .thread_pool import ThreadPool

T = TypeVar("T")
Work = Callable[[Connection], Any]
MAX_GROUP = 200


@dataclass(frozen=True, slots=True)
class InsertRow:
    """Work that a group combines: rows for the same statement (the same object) are inserted in one call.

    `then` runs afterwards, for each row.
    """

    statement: Insert
    row: Mapping[str, Any]
    then: Callable[[Connection], None]

    def __call__(self, connection: Connection) -> None:
        connection.execute(self.statement, self.row)
        self.then(connection)


class _Job:
    __slots__ = ("committed", "error", "finished", "result", "turn", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
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

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` inside a transaction; it is committed when this returns.

        Raises what `work` or the commit raised. If a group fails, its members run again one by one, so one caller's
        error does not fail the others. `work` may therefore run twice.
        """
        job = _Job(work)
        with self._lock:
            self._pending.append(job)
            leads = not self._busy
            self._busy = True
        if not leads:
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

    def _commit(self, group: list[_Job]) -> None:
        """Runs in the native thread: no logging, no shared lock."""
        try:
            with self._connection.begin(), self._around(self._connection):
                self._work(group)
            for job in group:
                job.committed = True
        except BaseException as error:
            if len(group) == 1:
                group[0].error = error
                return
            for job in group:
                self._commit([job])

    def _work(self, group: list[_Job]) -> None:
        for statement, jobs in groupby(group, key=lambda job: getattr(job.work, "statement", job)):
            if isinstance(statement, Insert):
                inserts = [cast(InsertRow, job.work) for job in jobs]
                self._connection.execute(statement, [insert.row for insert in inserts])
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
