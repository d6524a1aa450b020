"""Adds to a row, or inserts it, in one statement."""

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as insert


def add_to(table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> Insert:
    """Insert a row, or add its `columns` to the existing row with the same `key`."""
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=[table.c[name] for name in key],
        set_={name: table.c[name] + statement.excluded[name] for name in columns},
    )
