"""The PostgreSQL database: a pool for requests, a connection for the group writer, and two for sign-in and for beats."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from llm_service.core.errors import StorageFull

from ..errors import DatabaseAway, DatabaseFault
from ..group_writer import BUSY_STEP_S, BUSY_TIMEOUT_S, GroupWriter
from ..schema import check_schema
from . import connections
from .connections import UNHURRIED_S, driver_of, run_script
from .errors import is_locked, is_of_server, mapped, reason
from .space import ServerSpace
from .transactions import Transactions, WriteLimits
from .writer import STATEMENT_S, PostgresCommitter

T = TypeVar("T")
POOL_SIZE = 8
SIGN_IN_POOL_SIZE = 2
LONG_STATEMENT_S = 60
MIN_VERSION = 130000
# Any number that no other program of the same database uses for an advisory lock.
_MIGRATION_LOCK = 7_516_192_768
# Limits that the operator has set for the role or the database are for requests.
_BEGIN_MIGRATION = (
    "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; "
    f"SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"
)
# Dead rows keep their texts until their pages are cleaned.
_SCRUB = "VACUUM answers, generations, search_documents"


class PostgresDatabase:
    """Satisfies `Database`."""

    crashes_alone = True

    def __init__(self, url: str) -> None:
        """Migrate an empty database.

        Raises `DatabaseFault`; `DatabaseAway` if the server cannot be reached, and `OldSchema` before `flask db upgrade`.
        """
        migrate(url, only_empty=True)
        self.space = ServerSpace()
        self._connect = connections.connector(url)
        with ExitStack() as opened:
            self._requests, self._sign_in, writing = (
                opened.enter_context(closing(Transactions(connections.pooled(self._connect, size), self._connect)))
                for size in (POOL_SIZE, SIGN_IN_POOL_SIZE, 1)
            )
            self._writer = GroupWriter(PostgresCommitter(writing))
            self._opened = opened.pop_all()

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool = True,
        short: bool = False,
        wait_s: float | None = None,
    ) -> T:
        """As `Database.write`. What is not `short`, or waits for a lock, has a transaction of its own: it holds up no group."""
        due = time.monotonic() + (BUSY_TIMEOUT_S if wait_s is None else wait_s)
        try:
            with mapped():
                return self._write_in_group(work, durable, due) if short else self._write_alone(work, durable, due)
        except StorageFull:
            self.space.was_full()
            raise

    def write_apart(self, work: Callable[[Connection], T]) -> T:
        """For a row that nobody else locks, and that may be lost if the server crashes. It waits behind no answer and no search.

        Raises `StorageError`.
        """
        with mapped():
            return self._sign_in.write(work, WriteLimits(durable=False, lock_s=BUSY_STEP_S, statement_s=STATEMENT_S))

    def read(self, work: Callable[[Connection], T], *, sign_in: bool = False) -> T:
        with mapped():
            return (self._sign_in if sign_in else self._requests).read(work)

    def check(self) -> None:
        self.write(lambda connection: None, short=True)
        self.space.require()

    def scrub(self) -> None:
        with mapped(), closing(self._connect()) as driver:
            driver.silence_s = UNHURRIED_S
            driver.execute(_SCRUB)

    def close(self) -> None:
        self._opened.close()

    def _write_in_group(self, work: Callable[[Connection], T], durable: bool, due: float) -> T:
        try:
            return self._writer.run(work, durable=durable, short=True, wait_s=due - time.monotonic())
        except (SQLAlchemyError, psycopg.Error) as error:
            if not is_locked(error):
                raise
        # It waits for the lock alone: those who do not need the lock must not wait, too.
        return self._write_alone(work, durable, due, short=True)

    def _write_alone(self, work: Callable[[Connection], T], durable: bool, due: float, *, short: bool = False) -> T:
        while True:
            left_s = max(0.001, due - time.monotonic())
            # One statement may wait for several locks in turn. A short one does nothing else that takes long.
            limits = WriteLimits(durable, left_s, left_s if short else LONG_STATEMENT_S)
            try:
                return self._requests.write(work, limits)
            except (SQLAlchemyError, psycopg.Error) as error:
                # Of two who wait for each other, the server ends one. Who came from a group to wait for a lock has the time
                # to wait for a connection, too: others of the group have them, and the same lock before them.
                is_in_the_way = is_locked(error) or (short and isinstance(error, PoolTimeout))
                if not is_in_the_way or time.monotonic() >= due:
                    raise


def migrate(url: str, *, only_empty: bool = False) -> bool:
    """Migrate the database to this program's schema; True if there was anything to do. `only_empty`: see `check_schema`.

    Raises `DatabaseFault`. Several processes may call it at once: one migrates, the others wait.
    """
    engine = connections.pooled(connections.connector(url), 1)
    try:
        with engine.connect() as connection:
            _check_server(driver_of(connection))
            transaction = connection.begin()
            driver = driver_of(connection)
            driver.silence_s = UNHURRIED_S
            run_script(driver, _BEGIN_MIGRATION)
            changed = check_schema(connection, only_empty=only_empty)
            transaction.commit()
            return changed
    except (SQLAlchemyError, psycopg.Error) as error:
        fault = DatabaseAway if is_of_server(error) else DatabaseFault
        raise fault(f"DATABASE_URL: PostgreSQL cannot be used: {reason(error)}") from error
    finally:
        engine.dispose()


def _check_server(driver: psycopg.Connection) -> None:
    if driver.info.server_version < MIN_VERSION:
        raise DatabaseFault(
            f"DATABASE_URL: the server is PostgreSQL {driver.info.server_version // 10_000}; "
            f"{MIN_VERSION // 10_000} or newer is needed."
        )
    encoding = driver.execute("SHOW server_encoding").fetchone()
    if encoding != ("UTF8",):
        raise DatabaseFault(
            f"DATABASE_URL: the database has the encoding {encoding and encoding[0]}; UTF8 is needed: "
            "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )
