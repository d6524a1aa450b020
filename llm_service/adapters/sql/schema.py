"""The database's schema version, and its migration to this program's version."""

from contextlib import nullcontext
from pathlib import Path

from sqlalchemy import Connection, inspect, literal_column, select, text

from .errors import DatabaseFault, OldSchema

MIGRATIONS = Path(__file__).parent / "migrations"
# Oldest first; the last is this program's. With this list, a start without migrations need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")


def check_schema(connection: Connection, *, only_empty: bool = False) -> bool:
    """Migrate the database if it is older; True if it was. Runs in the connection's transaction if it has begun one.

    A newer one that only adds to this program's schema is used as it is: during an update, programs of the version before
    are started, too. Raises `DatabaseFault` if it is newer and not compatible. `only_empty`: `OldSchema` if it is older and
    not empty.
    """
    current = _current(connection)
    if current == REVISIONS[-1]:
        return False
    if current is not None and current not in REVISIONS:
        if _is_compatible(connection):
            return False
        raise DatabaseFault(
            f"DATABASE_URL: the database has the schema {current}, which is newer than this program's "
            f"{REVISIONS[-1]}. Update the program and run `flask db upgrade`, or restore the backup made before the update."
        )
    if current is not None and only_empty:
        raise OldSchema(
            f"DATABASE_URL: the database has the schema {current}, and this program needs {REVISIONS[-1]}. "
            "Migrate it: flask db upgrade"
        )
    _upgrade(connection)
    return True


def _current(connection: Connection) -> str | None:
    """The database's revision; None: it is empty."""
    return _scalar_of(connection, "alembic_version", "version_num")


def _is_compatible(connection: Connection) -> bool:
    """Whether a newer schema says that this program can work on it."""
    since = _scalar_of(connection, "schema_compatibility", "since")
    return since is not None and since <= REVISIONS[-1]


def _scalar_of(connection: Connection, table: str, column: str) -> str | None:
    """The value in a table with one row; None: there is no such table."""
    with nullcontext() if connection.in_transaction() else connection.begin():
        if table not in inspect(connection).get_table_names():
            return None
        value: str | None = connection.execute(select(literal_column(column)).select_from(text(table))).scalar()
        return value


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
