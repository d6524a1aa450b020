"""Adding to a row that may not be there yet, in one statement."""

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import Insert, insert


def add_to(table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> Insert:
    """Insert a row, or add its columns to those of the row that has the key."""
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=[table.c[name] for name in key],
        set_={name: table.c[name] + statement.excluded[name] for name in columns},
    )
