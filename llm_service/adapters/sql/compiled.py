"""Statements that run for every generation: compiled once, and run by the driver.

SQLAlchemy's own way, `Connection.execute`, costs several times what SQLite needs for the statement.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement


class Compiled:
    """A statement of SQL. Values reach the driver as they are, so they must be of types that it knows."""

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        """`columns`: those that an INSERT gets from its rows."""
        self._statement = statement
        self._columns = columns
        self._sql = ""

    def execute(self, connection: Connection, *rows: Mapping[str, Any]) -> Any:
        """Run it for each row of parameters. Returns the driver's cursor, whose rows are tuples.

        Raises what `Connection.execute` raises.
        """
        if not self._sql:
            self._compile(connection)
        values = [self._values({**self._constants, **row}) for row in rows]
        cursor = connection.connection.cursor()
        try:
            if len(values) == 1:
                cursor.execute(self._sql, values[0])
            else:
                cursor.executemany(self._sql, values)
        except Exception as error:
            raise self._mapped(connection, error) from error
        return cursor

    def _compile(self, connection: Connection) -> None:
        assert isinstance(self._statement, ClauseElement)
        columns = None if self._columns is None else list(self._columns)
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=columns)
        assert isinstance(compiled, SQLCompiler)
        names = compiled.positiontup
        assert names is not None
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        # `itemgetter` returns no tuple for one name.
        self._values = itemgetter(*names) if len(names) > 1 else _only(names[0])
        self._sql = str(compiled)

    def _mapped(self, connection: Connection, error: Exception) -> BaseException:
        assert connection.dialect.dbapi is not None
        # No parameters: a logged error must not quote a caller's text.
        return DBAPIError.instance(
            self._sql, None, error, connection.dialect.dbapi.Error, hide_parameters=True, dialect=connection.dialect
        )


def _only(name: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return lambda row: (row[name],)
