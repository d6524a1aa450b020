"""Transactions on pooled connections that may be lost at any time.

See docs/decisions/0063-a-commit-in-doubt-is-looked-up.md.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..group_writer import collect_last
from ..usage_ledger import summed
from .connections import FIRST_ANSWER_S, BoundedConnection, driver_of, run_script
from .errors import ReadOnlyServer, Unknown, is_read_only

T = TypeVar("T")
# The first try may lose a connection in the middle, the second may get another one that was lost as long ago.
TRIES = 3
TRY_AGAIN_S = 10
READ_S = 30
# Nobody waits for a transaction of a process that was stopped in the middle of it.
IDLE_S = 10
# The flush of a slow disk, or of a synchronous standby.
COMMIT_S = 15
# After the server should have ended a statement that takes too long.
MARGIN_S = 5
# A commit in doubt: so long a server may need to restart, or to end the transaction.
LOOK_UP_S = 5
_READ = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    f"SET LOCAL statement_timeout = '{READ_S}s'; SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'"
)
# A promoted standby has a new timeline, and may use a lost transaction's number again.
_TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
# Some hosted servers do not tell it.
_NO_TIMELINE = "''"
_STATUS = f"SELECT pg_xact_status(%s::xid8), {_TIMELINE}"
# If the server has not heard of the COMMIT, it will not: its connection is lost.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND backend_xid = %s::xid8::xid AND state LIKE 'idle%%'
"""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """`durable`: flushed by the server before it is committed."""

    durable: bool
    lock_s: float
    statement_s: float

    def begin(self, timeline: str) -> str:
        """`timeline`: the expression for it."""
        return (
            "BEGIN ISOLATION LEVEL READ COMMITTED; "
            f"SET LOCAL lock_timeout = {max(1, round(self.lock_s * 1000))}; "
            f"SET LOCAL statement_timeout = {round(self.statement_s * 1000)}; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'; "
            f"SET LOCAL synchronous_commit = {'on' if self.durable else 'off'}; "
            f"SELECT pg_current_xact_id()::text, pg_backend_pid(), {timeline}, current_setting('transaction_read_only')"
        )


@dataclass(frozen=True, slots=True)
class _Identity:
    """Of a transaction that writes: enough to find out later whether it was committed."""

    xid: str
    process: int
    timeline: str


class Transactions:
    """Over one pool. `close` closes it."""

    def __init__(self, engine: Engine, connect: Callable[[], BoundedConnection]) -> None:
        """`connect` opens connections beside the pool, to look a commit up."""
        self._engine = engine
        self._connect = connect
        self._timeline = _TIMELINE

    def read(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` on a snapshot of the data."""

        def run(connection: Connection) -> T:
            _begin(driver_of(connection), _READ, READ_S)
            return work(connection)

        return self._with_tries(run)

    def write(
        self, work: Callable[[Connection], T], limits: WriteLimits, on_stored: Callable[[], None] | None = None
    ) -> T:
        """The result of `work`, once it is committed. `work` may run again if its connection is lost before the commit.

        `on_stored` runs when it is known to be stored, also if the caller's greenlet is killed then.
        """

        def run(connection: Connection) -> T:
            identity = self._begin_write(connection, limits)
            last = collect_last(connection)
            with summed(connection):
                result = work(connection)
            for late in last:
                late(connection)
            self._commit(connection, identity, on_stored or _nothing)
            return result

        return self._with_tries(run)

    def close(self) -> None:
        self._engine.dispose()

    def _with_tries(self, run: Callable[[Connection], T]) -> T:
        until = time.monotonic() + TRY_AGAIN_S
        for left in reversed(range(TRIES)):
            pool = self._engine.pool
            # Closing it rolls back what is not committed.
            with self._engine.connect() as connection:
                connection.begin()
                driver = driver_of(connection)
                try:
                    return run(connection)
                except BaseException as error:
                    is_lost = driver.closed or is_read_only(error)
                    is_killed = not isinstance(error, Exception)
                    if is_lost or is_killed:
                        # In the middle of a statement: what the server still sends belongs to nobody.
                        connection.invalidate()
                    if is_lost and not is_killed and self._engine.pool is pool:
                        self._engine.dispose()  # the others are as old
                    is_final = is_killed or isinstance(error, Unknown) or not left or time.monotonic() > until
                    if not is_lost or is_final:
                        raise
                finally:
                    # Lost in a commit that was stored, or of a pool that was given up: nobody would close it for a while.
                    if (driver.closed or self._engine.pool is not pool) and not connection.invalidated:
                        connection.invalidate()
        raise AssertionError("unreachable")

    def _begin_write(self, connection: Connection, limits: WriteLimits) -> _Identity:
        driver = driver_of(connection)
        try:
            row = _begin(driver, limits.begin(self._timeline), limits.statement_s)
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.InsufficientPrivilege):
            self._timeline = _NO_TIMELINE
            driver.rollback()
            row = _begin(driver, limits.begin(self._timeline), limits.statement_s)
        xid, process, timeline, read_only = row
        if read_only == "on":
            raise ReadOnlyServer
        return _Identity(xid, process, timeline)

    def _commit(self, connection: Connection, identity: _Identity, on_stored: Callable[[], None]) -> None:
        driver = driver_of(connection)
        if driver.info.transaction_status is TransactionStatus.INERROR:
            # The server would answer ROLLBACK, and that is no error.
            raise psycopg.errors.InFailedSqlTransaction("a statement failed, and its error was ignored")
        driver.silence_s = COMMIT_S
        try:
            driver.commit()
        except BaseException as error:
            if not driver.closed and isinstance(error, Exception):
                raise  # the server said that it did not commit
            driver.close()
            if not self._was_stored(identity):
                raise Unknown from error
            on_stored()
            if not isinstance(error, Exception):
                raise
            return
        on_stored()

    def _was_stored(self, identity: _Identity) -> bool:
        """What became of a commit whose answer was lost; False also if that cannot be found out."""
        until = time.monotonic() + LOOK_UP_S
        while True:
            try:
                status = self._status(identity)
            except (psycopg.Error, SQLAlchemyError):
                status = "unreachable"
            if status not in ("in progress", "unreachable") or time.monotonic() > until:
                return status == "committed"
            time.sleep(0.05)

    def _status(self, identity: _Identity) -> str:
        if not identity.timeline:
            return "unknown"
        with _closing(self._connect()) as driver:
            row = driver.execute(_STATUS, (identity.xid,)).fetchone()
            assert row is not None
            status, timeline = row
            if timeline != identity.timeline or status is None:
                return "unknown"
            if status == "in progress":
                driver.execute(_END, (identity.process, identity.xid))
            return str(status)


def _begin(driver: BoundedConnection, script: str, statement_s: float) -> tuple[Any, ...]:
    driver.silence_s = FIRST_ANSWER_S
    row = run_script(driver, script)
    driver.silence_s = statement_s + MARGIN_S
    return row or ()


@contextmanager
def _closing(driver: BoundedConnection) -> Iterator[BoundedConnection]:
    # psycopg's own context manager would end a transaction, and there is none.
    try:
        yield driver
    finally:
        driver.close()


def _nothing() -> None:
    pass
