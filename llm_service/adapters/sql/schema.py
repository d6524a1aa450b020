"""The database's schema version, and its migration to this program's version."""

from contextlib import nullcontext
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from .errors import DatabaseFault, OldSchema

MIGRATIONS = Path(__file__).parent / "migrations"
# Oldest first; the last is this program's. With this list, a start without migrations need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")


def check_schema(connection: Connection, *, only_empty: bool = False) -> bool:
    """Migrate the database if it is older; True if it was. Runs in the connection's transaction if it has begun one.

    Raises `DatabaseFault` if it is newer than this program. `only_empty`: `OldSchema` if it is older and not empty.
    """
    current = _current(connection)
    if current == REVISIONS[-1]:
        return False
    if current is not None and current not in REVISIONS:
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
    with nullcontext() if connection.in_transaction() else connection.begin():
        if "alembic_version" not in inspect(connection).get_table_names():
            return None
        current: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return current


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
