"""The SQLite file: one connection that writes and a few that read, none on the event loop."""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from llm_service.core.errors import StorageBusy

from ...new_files import open_private
from ..errors import DatabaseFault, DatabaseLocked, is_busy, mapped, sqlite_code
from ..group_writer import BUSY_TIMEOUT_S, GroupWriter
from ..schema import REVISIONS, check_schema
from ..usage_ledger import summed
from .disk_space import DiskSpace
from .file_system import owners, refuse_network
from .group_writer import SqliteCommitter
from .readers import Readers

T = TypeVar("T")
READ_THREADS = 4
# A lookup by a primary key takes a fraction of a millisecond.
SIGN_IN_THREADS = 2


class Database:
    """Opened once per process, after the fork. `close` when the process ends."""

    crashes_alone = False

    def __init__(self, url: str) -> None:
        """Create or migrate the file if needed. If not, no lock is needed that another process may hold.

        Raises `DatabaseFault`.
        """
        self.path = sqlite_path(url)
        try:
            migrate(url)
            self.space = DiskSpace(self.path.parent)
            reading = _engine(self.path, begin="BEGIN", query_only=True)
            self._readers, self._sign_in_readers = Readers(reading, READ_THREADS), Readers(reading, SIGN_IN_THREADS)
            self._writing = _engine(self.path, begin="BEGIN IMMEDIATE").connect()
            self._writer = GroupWriter(SqliteCommitter(self._writing, summed))
            self._readers.open()
        except (SQLAlchemyError, OSError) as error:
            raise _fault(self.path, error) from error

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool = True,
        short: bool = False,
        wait_s: float | None = None,
    ) -> T:
        """Run `work` in a transaction. When this returns it is committed: no killed process loses it.

        `durable`: nor does a power cut, because it is flushed to the disk. `short`: it reads and writes a few rows, found by
        an index, and so may run on the event loop. `wait_s`: for the lock of another process; None: five seconds.

        Raises `StorageError` or `IntegrityError`. `work` may run twice and must do nothing but SQL.
        """
        with mapped():
            return self._writer.run(
                work, durable=durable, short=short, wait_s=BUSY_TIMEOUT_S if wait_s is None else wait_s
            )

    def read(self, work: Callable[[Connection], T], *, sign_in: bool = False) -> T:
        """Run `work` on a snapshot of the data. `sign_in`: in threads of its own, where it never waits behind a search.

        Raises `StorageError`.
        """
        with mapped():
            return (self._sign_in_readers if sign_in else self._readers).run(work)

    def check(self) -> None:
        """Raise a `StorageError` if nothing can be written now: the database is locked, or its disk is nearly full."""
        self.write(lambda connection: None)
        self.space.look()
        self.space.require()

    def scrub(self) -> None:
        """Move the write-ahead log into the file and empty it. Deleted text is then in neither.

        Raises `StorageBusy` if the log stays in use.
        """

        def work() -> bool:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as connection:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return bool(busy)

        if self._readers.run_without(work):
            raise StorageBusy("The database's log is in use and could not be emptied. Try again.", retry_after_s=1)

    def close(self) -> None:
        self._writer.close()
        self._readers.close()
        self._sign_in_readers.close()


def migrate(url: str) -> bool:
    """Migrate the file to this program's schema; True if there was anything to do.

    Raises `DatabaseFault`. Several processes may call it at once: one migrates, the others wait.
    """
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        refuse_network(path)
        if _is_current(path):
            return False
        lock = open_private(path.parent / f".{path.name}.migrate", os.O_RDWR, path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                # SQLite would make it readable for all. It gives its log and its shared memory the mode of the file.
                os.close(open_private(path, os.O_RDWR, path.parent))
            with _engine(path, begin="BEGIN IMMEDIATE").connect() as connection:
                return check_schema(connection)
        finally:
            os.close(lock)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _fault(path, error) from error


def _is_current(path: Path) -> bool:
    """Whether the file has this program's schema. It is only read: another process may be writing for long."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
        try:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISIONS[-1],)]
        except sqlite3.Error as error:
            if is_busy(error):
                raise
            return False  # there is no such table, or the file is damaged: `check_schema` finds out


def sqlite_path(url: str) -> Path:
    """The absolute path of a `sqlite:///` address."""
    return Path(make_url(url).database or "").absolute()


def _engine(path: Path, *, begin: str, query_only: bool = False) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": None},
        # Logged errors must not quote a caller's text.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # FULL: a paid answer survives a power cut (`SqliteCommitter` changes it for the rest). secure_delete: deleted text is overwritten.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if query_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        # A deferred transaction fails at its first write if another connection wrote meanwhile.
        connection.exec_driver_sql(begin)

    return engine


def _fault(path: Path, error: Exception) -> DatabaseFault:
    if is_busy(error):
        return DatabaseLocked(f"DATABASE_URL: the SQLite file {path} is locked by another process. Try again later.")
    reason = str(getattr(error, "orig", None) or error)
    code = sqlite_code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        remedy = f"Move it away and restore the last backup: cp BACKUP {path}"
    else:
        remedy = "Check its owner, its permissions and the free space, or restore it from a backup."
    # It may be a file beside the database.
    place = Path(error.filename) if isinstance(error, OSError) and error.filename else path
    return DatabaseFault(
        f"DATABASE_URL: the SQLite file {path} cannot be used: {reason}. It was not changed. {owners(place)} {remedy}"
    )
