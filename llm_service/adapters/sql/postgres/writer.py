"""Commits groups of short work to PostgreSQL, over a connection of their own.

The leader's greenlet runs the group: psycopg waits cooperatively, so no native thread is needed.
"""

from collections.abc import Callable, Sequence

from ..group_writer import BUSY_STEP_S, Job, run_works
from .errors import is_locked, is_of_server
from .transactions import Transactions, WriteLimits

STATEMENT_S = 10
# When a group has waited for a lock: its members who do not need the lock must not wait for it again.
ALONE_LOCK_S = 0.02


class PostgresCommitter:
    """Satisfies `Committer`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def commit(self, group: list[Job]) -> None:
        """A job that met a lock gets that as its error: its caller goes on with a connection of its own."""
        error = self._transact(group, BUSY_STEP_S)
        if error is None:
            return
        if len(group) > 1 and not is_of_server(error):
            lock_s = ALONE_LOCK_S if is_locked(error) else BUSY_STEP_S
            for job in group:
                job.error = self._transact([job], lock_s)
        else:
            for job in group:
                job.error = error

    def when_free(self, function: Callable[[], object]) -> None:
        function()

    def close(self) -> None:
        self._transactions.close()

    def _transact(self, group: Sequence[Job], lock_s: float) -> Exception | None:
        """What kept the group from being committed; None: it is."""
        limits = WriteLimits(any(job.durable for job in group), lock_s, STATEMENT_S)

        def stored() -> None:
            for job in group:
                job.committed = True

        try:
            self._transactions.write(lambda connection: run_works(connection, group), limits, stored)
        except Exception as error:
            return error
        return None
