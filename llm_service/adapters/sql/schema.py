"""The database's schema version, and its migration to this program's version."""

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from .errors import DatabaseFault

MIGRATIONS = Path(__file__).parent / "migrations"
# Oldest first; the last is this program's. With this list, a start without migrations need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")


def check_schema(connection: Connection) -> bool:
    """Migrate the database if it is older; True if it was.

    A newer one that only adds to this program's schema is used as it is: during an update, programs of the version before
    are started, too. Raises `DatabaseFault` if it is newer and not compatible.
    """
    with connection.begin():
        tables = inspect(connection).get_table_names()
        current = None
        if "alembic_version" in tables:
            current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current == REVISIONS[-1]:
        return False
    if current is not None and current not in REVISIONS:
        if _is_compatible(connection, tables):
            return False
        raise DatabaseFault(
            f"DATABASE_URL: the database has the schema {current}, which is newer than this program's "
            f"{REVISIONS[-1]}. Update the program and run `flask db upgrade`, or restore the backup made before the update."
        )
    _upgrade(connection)
    return True


def _is_compatible(connection: Connection, tables: Collection[str]) -> bool:
    """Whether a newer schema says that this program can work on it."""
    if "schema_compatibility" not in tables:
        return False
    with connection.begin():
        since = connection.execute(text("SELECT since FROM schema_compatibility")).scalar()
    return since is not None and since <= REVISIONS[-1]


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
