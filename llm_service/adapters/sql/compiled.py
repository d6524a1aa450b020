"""Statements that run for every generation: compiled once, and run by the driver.

SQLAlchemy's own way, `Connection.execute`, costs several times what SQLite needs for the statement.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Row = Mapping[str, Any]


class _Form(NamedTuple):
    """`values` makes what the driver takes of a row with `constants`: a tuple, or the row itself."""

    sql: str
    constants: Row
    values: Callable[[Row], Any]


class Compiled:
    """A statement of SQL. Values reach the driver as they are, so they must be of types that it knows."""

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        """`columns`: those that an INSERT gets from its rows."""
        self._statement = statement
        self._columns = columns
        self._forms: dict[str, _Form] = {}

    def execute(self, connection: Connection, *rows: Row) -> Any:
        """Run it for each row of parameters. Returns the driver's cursor, whose rows are tuples.

        Raises what `Connection.execute` raises.
        """
        form = self._forms.get(connection.dialect.name) or self._compile(connection)
        sql, constants, values_of = form
        values = [values_of({**constants, **row} if constants else row) for row in rows]
        cursor = connection.connection.dbapi_connection.cursor()  # type: ignore[union-attr]
        try:
            if len(values) == 1:
                cursor.execute(sql, values[0])
            else:
                cursor.executemany(sql, values)
        except Exception as error:
            raise _mapped(connection, sql, error) from error
        return cursor

    def _compile(self, connection: Connection) -> _Form:
        assert isinstance(self._statement, ClauseElement)
        columns = None if self._columns is None else list(self._columns)
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=columns)
        assert isinstance(compiled, SQLCompiler)
        constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        names = compiled.positiontup
        form = _Form(str(compiled), constants, _same if names is None else _positional(names))
        self._forms[connection.dialect.name] = form
        return form


def _mapped(connection: Connection, sql: str, error: Exception) -> BaseException:
    assert connection.dialect.dbapi is not None
    # No parameters: a logged error must not quote a caller's text.
    return DBAPIError.instance(
        sql, None, error, connection.dialect.dbapi.Error, hide_parameters=True, dialect=connection.dialect
    )


def _same(row: Row) -> Row:
    return row


def _positional(names: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    # `itemgetter` returns no tuple for one name.
    return itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
