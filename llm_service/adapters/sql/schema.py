"""The database's schema version, and its migration to this program's version."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from .errors import DatabaseFault

MIGRATIONS = Path(__file__).parent / "migrations"
# Oldest first; the last is this program's. With this list, a start without migrations need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")


def check_schema(connection: Connection) -> bool:
    """Migrate the database if it is older; True if it was.

    Raises `DatabaseFault` if it is newer than this program.
    """
    with connection.begin():
        tables = inspect(connection).get_table_names()
        current = None
        if "alembic_version" in tables:
            current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current == REVISIONS[-1]:
        return False
    if current is not None and current not in REVISIONS:
        raise DatabaseFault(
            f"DATABASE_URL: the database has the schema {current}, which is newer than this program's "
            f"{REVISIONS[-1]}. Update the program and run `flask db upgrade`, or restore the backup made before the update."
        )
    _upgrade(connection)
    return True


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
