"""`flask db`."""

import sys

import click
from flask.cli import AppGroup

from llm_service.bootstrap.resources import migrate_database

from .context import current_settings
from .errors import cli_errors

db = AppGroup("db", help="The database.")
# How often the progress bar is drawn again: more often would take longer than the rows.
SHOWN_ROWS = 200


@db.command("upgrade")
def upgrade_db() -> None:
    """Create the database, or migrate it to the schema of this version."""
    with cli_errors():
        changed = migrate_database(current_settings())
    click.echo("The database was migrated." if changed else "The database is up to date.")


@db.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy_db(source: str, target: str) -> None:
    """Copy the whole database FROM into the empty PostgreSQL database TO: history, usage, keys, limits.

    Both are URLs as in DATABASE_URL. Stop the service first. It is one transaction: if it fails, TO stays empty. FROM does
    not change. A password is best given in ~/.pgpass.
    """
    # Not above: it loads PostgreSQL's driver, which a service on SQLite must not pay for.
    from llm_service.bootstrap.copying import open_copy

    with cli_errors(), open_copy(current_settings(), source, target) as copy:
        bar = click.progressbar(length=copy.rows, label="Copying", file=sys.stderr, update_min_steps=SHOWN_ROWS)
        with bar:
            copied = copy.run(bar.update)
            bar.finish()
    click.echo(f"Copied {copied['generations']:,} generations with {copied['answers']:,} texts.")
