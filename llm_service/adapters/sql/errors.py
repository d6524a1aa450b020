"""Maps database errors to the core's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from llm_service.core.errors import StorageBusy, StorageError, StorageFull, StorageUnavailable

RETRY_S = 1.0


class DatabaseFault(Exception):
    """The database cannot be used; the message tells the operator what to do."""


class DatabaseLocked(DatabaseFault):
    """Another process has locked it for longer than SQLite waits. It can be used later."""


class DatabaseAway(DatabaseFault):
    """Its server cannot be reached or takes no work now. It may be used later."""


class OldSchema(DatabaseFault):
    """It must be migrated first, which is the operator's to decide."""


@contextmanager
def mapped() -> Iterator[None]:
    """Raise a `StorageError` for every database error except SQLAlchemy's `IntegrityError`."""
    try:
        yield
    except IntegrityError:
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:  # the driver's own come from the rows of `Compiled`
        raise storage_error(error) from error


def storage_error(error: SQLAlchemyError | sqlite3.Error) -> StorageError:
    if is_busy(error):
        return StorageBusy("The database is busy.", retry_after_s=RETRY_S)
    if sqlite_code(error) == sqlite3.SQLITE_FULL:
        return StorageFull("The disk of the database is full.", retry_after_s=60)
    return StorageUnavailable("The database cannot be used right now.", retry_after_s=RETRY_S)


def is_busy(error: BaseException) -> bool:
    """Whether another connection has locked the database."""
    return sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's primary result code, if there is one."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
