"""Adding to a row that may not be there yet, in one statement."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

# Both databases say it in the same words, but SQLAlchemy has the clause in each dialect only.
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def adding(table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, Any]:
    """By dialect: insert a row, or add its columns to those of the row that has the key."""
    return {name: _statement(insert(table), table, key, columns) for name, insert in _INSERTS.items()}


def _statement(statement: Any, table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    return statement.on_conflict_do_update(
        index_elements=[table.c[name] for name in key],
        set_={name: table.c[name] + statement.excluded[name] for name in columns},
    )
