"""Moves everything from one database to another, while neither is in use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from llm_service.adapters.sql.copying import NotEmpty, Progress, copy_database, count_rows
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.database_url import DatabaseUrl
from llm_service.adapters.sql.sqlite.presence import Presence, ProcessesFileFault
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.resources import opened_database, spool_path
from llm_service.bootstrap.settings import Settings


class DatabaseCopy:
    """`open_copy` makes one. `rows`: how many there are to copy."""

    def __init__(self, source: Database, target: Database) -> None:
        self._source, self._target = source, target
        self.rows = count_rows(source)

    def run(self, progress: Progress) -> Mapping[str, int]:
        """How many rows of each table were copied. Raises `StartError`; then nothing was copied."""
        try:
            return copy_database(self._source, self._target, progress)
        except NotEmpty as error:
            raise StartError([f"TO: the database must be empty. {error} Create a new one: createdb NAME"], 1) from error


@contextmanager
def open_copy(settings: Settings, source: str, target: str) -> Iterator[DatabaseCopy]:
    """`source` and `target` are URLs as in `DATABASE_URL`. Raises `StartError`."""
    from_settings, to_settings = _settings(settings, "FROM", source), _settings(settings, "TO", target)
    if not to_settings.database_url.is_postgres:
        raise StartError(["TO: must be on PostgreSQL: postgresql://user@host/name"], 2)
    _check_source(from_settings)
    # Opening the target makes the tables of an empty database. One with an older schema is not empty, and stays as it is.
    with opened_database(from_settings) as reading, opened_database(to_settings) as writing:
        yield DatabaseCopy(reading, writing)


def _settings(settings: Settings, argument: str, url: str) -> Settings:
    try:
        return replace(settings, database_url=DatabaseUrl(url))
    except ValueError as error:
        raise StartError([f"{argument}: {error}"], 2) from error


def _check_source(settings: Settings) -> None:
    """Refuse what would be incomplete: a database in use, or with answers that are not in it yet."""
    spool = spool_path(settings)
    if spool.exists() and spool.stat().st_size:
        message = f"FROM: {spool} contains answers that are not in the history yet. Start the service once with FROM."
        raise StartError([message], 1)
    if settings.database_url.is_postgres:
        return
    if not settings.database_path.exists():
        raise StartError([f"FROM: there is no file {settings.database_path}"], 1)
    try:
        presence = Presence(settings.database_path)
    except ProcessesFileFault as error:
        raise StartError([f"FROM: {error}"], 1) from error
    alone = presence.alone
    presence.close()
    if not alone:
        raise StartError(["FROM: the service is running. Stop it first: what it stores meanwhile would be lost."], 1)
