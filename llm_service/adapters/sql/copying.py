"""Copies a history with all that belongs to it into an empty PostgreSQL database, in one transaction: all of it or nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from .database import Database
from .postgres import full_text
from .postgres.connections import UNHURRIED_S, driver_of
from .tables import answers, failed_logins, generations, metadata, processes, schema_compatibility

# Rows that are read together. A row may have several MiB of text.
READ_TOGETHER = 100
# Rows that one statement writes.
WRITTEN_TOGETHER = 1000
# What belongs to the processes that run now or to the schema, or is forgotten within minutes.
LEFT_OUT = (processes, failed_logins, schema_compatibility)
Progress = Callable[[int], None]
"""Is told how many rows are done since the last time."""


class NotEmpty(Exception):
    """The target has rows already. The message names their table."""


def copied_tables() -> Sequence[Table]:
    """In an order in which references exist when they are needed."""
    return [table for table in metadata.sorted_tables if table not in LEFT_OUT]


def count_rows(source: Database) -> int:
    """Of all that would be copied; each text counts twice, because it is indexed as well."""
    counts = [select(func.count()).select_from(table) for table in (*copied_tables(), answers)]
    return source.read(lambda connection: sum(connection.execute(count).scalar_one() for count in counts))


def copy_database(source: Database, target: Database, progress: Progress) -> Mapping[str, int]:
    """Copy all rows with their positions; how many of each table. `target` is on PostgreSQL and has the same schema.

    Raises `NotEmpty` or `StorageError`; then nothing was copied.
    """
    return source.read(lambda reading: target.write(lambda writing: _copy(reading, writing, progress)))


def _copy(reading: Connection, writing: Connection, progress: Progress) -> Mapping[str, int]:
    for connection in (reading, writing):
        _take_time(connection)
    for table in copied_tables():
        if writing.execute(select(1).select_from(table).limit(1)).first() is not None:
            raise NotEmpty(f"The table {table.name} has rows.")
    copied = {table.name: _copy_table(reading, writing, table, progress) for table in copied_tables()}
    with full_text.built_at_the_end(writing):
        for row in _batched(reading, _indexed()):
            full_text.write(writing, row.document, row.owner, row.input, row.output)
            progress(1)
    for table in copied_tables():
        _continue_sequence(writing, table)
    return copied


def _take_time(connection: Connection) -> None:
    """One side waits while the other works, for as long as that takes: a slow disk, the index."""
    if connection.dialect.name == "postgresql":
        driver_of(connection).silence_s = UNHURRIED_S
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")


def _copy_table(reading: Connection, writing: Connection, table: Table, progress: Progress) -> int:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    rows = _batched(reading, select(table).order_by(*table.primary_key))
    copied = 0
    while some := _write_some(writing, f'COPY "{table.name}" ({columns}) FROM STDIN', islice(rows, WRITTEN_TOGETHER)):
        copied += some
        progress(some)
    return copied


def _write_some(writing: Connection, statement: str, rows: Iterator[Any]) -> int:
    """How many there were."""
    written, cursor = 0, driver_of(writing).cursor()
    with cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)
            written += 1
    return written


def _indexed() -> Any:
    """The texts that are to be found, with their owner."""
    owner = select(generations.c.owner).where(generations.c.answer_id == answers.c.answer_id).limit(1).scalar_subquery()
    return select(answers.c.document, answers.c.input, answers.c.output, owner.label("owner")).where(
        answers.c.document.is_not(None)
    )


def _batched(connection: Connection, query: Any) -> Iterator[Any]:
    return iter(connection.execution_options(yield_per=READ_TOGETHER).execute(query))


def _continue_sequence(writing: Connection, table: Table) -> None:
    """New rows get positions behind the copied ones."""
    column = table.autoincrement_column
    if column is None:
        return
    last = writing.execute(select(func.max(column))).scalar_one() or 0
    if table is generations:
        # A document keeps the position of a row that may be deleted by now.
        last = max(last, writing.execute(select(func.max(answers.c.document))).scalar_one() or 0)
    if last:
        setting = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        writing.execute(setting, {"table": table.name, "column": column.name, "last": last})
