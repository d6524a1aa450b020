"""Statements that run for every generation, compiled once.

`Connection.execute` prepares the parameters of each row anew, which costs more than SQLite's insert itself.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement


class Compiled:
    """A statement of SQL. Values reach the driver as they are, so they must be of types that it knows."""

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        """`columns`: those that an INSERT gets from its rows."""
        self._statement = statement
        self._columns = columns
        self._sql = ""

    def execute(self, connection: Connection, *rows: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it once for each row of parameters, in one call of the driver."""
        if not self._sql:
            self._compile(connection)
        values = [self._values({**self._constants, **row}) for row in rows]
        return connection.exec_driver_sql(self._sql, values[0] if len(values) == 1 else values)

    def _compile(self, connection: Connection) -> None:
        assert isinstance(self._statement, ClauseElement)
        columns = None if self._columns is None else list(self._columns)
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=columns)
        assert isinstance(compiled, SQLCompiler)
        names = compiled.positiontup
        assert names is not None
        assert len(names) > 1, "itemgetter returns no tuple for one"
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._values = itemgetter(*names)
        self._sql = str(compiled)
