"""`flask db`."""

import click
from flask.cli import AppGroup

from llm_service.bootstrap.resources import migrate_database

from .context import current_settings
from .errors import cli_errors

db = AppGroup("db", help="The database.")


@db.command("upgrade")
def upgrade_db() -> None:
    """Create the database, or migrate it to the schema of this version."""
    with cli_errors():
        changed = migrate_database(current_settings())
    click.echo("The database was migrated." if changed else "The database is up to date.")
