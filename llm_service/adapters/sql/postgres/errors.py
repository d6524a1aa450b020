"""PostgreSQL's errors by their SQLSTATE, and the core's errors for them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from llm_service.core.errors import StorageBusy, StorageError, StorageFull, StorageUnavailable

from ..errors import RETRY_S

# A lock of another transaction: the work may succeed if it runs again.
_LOCKED = frozenset(
    {
        "55P03",  # lock_not_available
        "40P01",  # deadlock_detected
        "40001",  # serialization_failure
    }
)
_CANCELED = "57014"  # the statement took longer than its transaction may
_BUSY = _LOCKED | {
    "53300",  # too_many_connections
    _CANCELED,
}
# While a connection is made, libpq gives no SQLSTATE, only the text of the server or of pgbouncer. In another language it is
# a server that is away.
_NO_CONNECTION_LEFT = (
    "too many clients",
    "connection slots are reserved",
    "too many connections",
    "no more connections",
)
_FULL = "53100"
_READ_ONLY = "25006"
_MAY_NOT_CREATE = frozenset(
    {
        "42501",  # insufficient_privilege
        "3F000",  # invalid_schema_name: none in the search_path
    }
)
_MAKE_IT_THEIRS = ". The user of DATABASE_URL must own the database, or its tables: ALTER DATABASE name OWNER TO user"


class ReadOnlyServer(Exception):
    """The server accepts no writes, as the old primary after a failover."""


class Unknown(Exception):
    """The connection was lost during a commit, and nobody can tell whether it was stored."""


@contextmanager
def mapped() -> Iterator[None]:
    """Raise a `StorageError` for every error of the database except SQLAlchemy's `IntegrityError`."""
    try:
        yield
    except IntegrityError:
        raise
    except (SQLAlchemyError, psycopg.Error, ReadOnlyServer, Unknown) as error:
        raise storage_error(error) from error


def storage_error(error: BaseException) -> StorageError:
    code = sqlstate(error)
    if code in _BUSY or isinstance(error, PoolTimeout) or (code is None and _too_many(error)):
        return StorageBusy("The database is busy.", retry_after_s=RETRY_S)
    if code == _FULL:
        return StorageFull("The disk of the database is full.", retry_after_s=60)
    return StorageUnavailable("The database cannot be used right now.", retry_after_s=RETRY_S)


def sqlstate(error: BaseException) -> str | None:
    """None: the error is not the server's, such as a connection that is lost."""
    return getattr(_original(error), "sqlstate", None)


def _too_many(error: BaseException) -> bool:
    return isinstance(_original(error), psycopg.OperationalError) and any(
        words in str(error) for words in _NO_CONNECTION_LEFT
    )


def is_locked(error: BaseException) -> bool:
    """Whether a lock of another transaction was in the way."""
    return sqlstate(error) in _LOCKED


def is_of_server(error: BaseException) -> bool:
    """Whether other work would fail in the same way now: the server is away, full, read-only, ..."""
    if isinstance(error, PoolTimeout | ReadOnlyServer | Unknown):
        return True
    of_connection = isinstance(_original(error), psycopg.OperationalError | psycopg.InterfaceError)
    return of_connection and sqlstate(error) not in _LOCKED | {_CANCELED}


def is_read_only(error: BaseException) -> bool:
    return isinstance(error, ReadOnlyServer) or sqlstate(error) == _READ_ONLY


def is_full(error: BaseException) -> bool:
    return sqlstate(error) == _FULL


def reason(error: BaseException) -> str:
    """What libpq or the server says, in one line without the statement. Neither quotes a password."""
    original = _original(error)
    said = original.diag.message_primary if isinstance(original, psycopg.Error) else None
    what = " ".join((said or str(original)).split())
    return what + (_MAKE_IT_THEIRS if sqlstate(error) in _MAY_NOT_CREATE else "")


def _original(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
