"""Connections to a PostgreSQL server, in SQLAlchemy's pools.

They keep no state of a session, so a pooler may give each transaction to another server process: what a transaction needs
it says in the statement that begins it. psycopg waits cooperatively under gevent.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, create_engine

from ..database_url import POSTGRES
from ..errors import DatabaseFault

T = TypeVar("T")
POOL_WAIT_S = 1
# Nothing that a connection does first, such as to begin a transaction, takes longer.
FIRST_ANSWER_S = 5.0
# What an operator or the night starts: an index of a large table, cleaning up, or the wait for who does that already.
UNHURRIED_S = 24 * 3600.0
# The operator's own options in the URL win.
_DEFAULTS: Mapping[str, Any] = {
    "application_name": "llm_service",
    "client_encoding": "utf8",
    "connect_timeout": 3,
    # A server that vanished is noticed, also while nothing is sent.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def options_of(url: str) -> dict[str, Any]:
    """libpq's options. Raises `DatabaseFault`, which quotes nothing of the URL, if libpq does not understand it."""
    try:
        return conninfo_to_dict(POSTGRES.sub("postgresql://", url, count=1))
    except psycopg.Error:
        raise DatabaseFault(
            "DATABASE_URL: libpq does not understand it. Are special characters in the password written as %XX, and all "
            "options libpq's?"
        ) from None


class BoundedConnection(psycopg.Connection[TupleRow]):
    """Closes itself if the server is silent for too long. The server's own limits do not help if nothing comes through."""

    silence_s = FIRST_ANSWER_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.silence_s if timeout is None else timeout)
        except Exception as error:
            # In a pipeline, a connection is active also after an error.
            has_answered = isinstance(error, psycopg.Error) and error.sqlstate is not None
            if has_answered or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise  # the server's answer
            self.close()
            raise psycopg.OperationalError("the server is silent") from error


class StorableText(StrDumperUnknown):
    """psycopg refuses a text with NUL, which PostgreSQL cannot store. SQLite takes it: an id with NUL is that of no row."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(storable(obj))


def storable(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text


def connector(url: str) -> Callable[[], BoundedConnection]:
    options = {**_DEFAULTS, **options_of(url)}
    # It warns of each pipeline that ends with an error, which its caller gets anyway.
    logging.getLogger("psycopg").setLevel(logging.ERROR)

    def connect() -> BoundedConnection:
        # Named prepared statements belong to one server process, which a pooler may change.
        connection = BoundedConnection.connect(autocommit=True, prepare_threshold=None, **options)
        connection.adapters.register_dumper(str, StorableText)
        return connection

    return connect


def pooled(connect: Callable[[], BoundedConnection], size: int) -> Engine:
    """An engine with a pool of its own."""
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_use_lifo=True,  # those that are not needed stay unused, and the server or a pooler may close them
        use_native_hstore=False,
        # Logged errors must not quote a caller's text.
        hide_parameters=True,
    )


def driver_of(connection: Connection) -> BoundedConnection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    return driver


def run_script(driver: psycopg.Connection, script: str) -> tuple[Any, ...] | None:
    """Run statements without parameters in one round trip. Returns the first row of the last one."""
    cursor = driver.execute(script.encode())
    while cursor.nextset():
        pass
    return cursor.fetchone() if cursor.description else None
