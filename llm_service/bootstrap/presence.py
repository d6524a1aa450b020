"""How this process tells others that it is alive, and finds out about them."""

import os
import secrets
import socket
from typing import TYPE_CHECKING, Protocol, cast

from llm_service import __version__
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.postgres.presence import (
    OtherSecret,
    PostgresPresence,
    Process,
    check_secret,
    digest_of_secret,
)
from llm_service.adapters.sql.sqlite.presence import Presence as SqlitePresence
from llm_service.adapters.sql.sqlite.presence import ProcessesFileFault, check_processes_file
from llm_service.bootstrap.errors import DatabaseIsAway, NotYet, StartError
from llm_service.bootstrap.resources import opened_database, signing_secret
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.errors import StorageError
from llm_service.core.generation.ports import Presence

if TYPE_CHECKING:
    from llm_service.adapters.sql.postgres.database import PostgresDatabase


class ProcessPresence(Presence, Protocol):
    """`alone`: no other process runs generations, until `settle`. `process_id`: for the rows of what this process runs."""

    @property
    def alone(self) -> bool: ...

    @property
    def process_id(self) -> str | None: ...

    @property
    def sweep_s(self) -> float:
        """How often to look for what dead processes left."""
        ...

    def settle(self) -> None: ...

    def beat(self) -> None:
        """Call it every two seconds. Raises `StorageError`."""
        ...

    def close(self) -> None:
        """Raises `StorageError`."""
        ...


def open_presence(settings: Settings, database: Database) -> ProcessPresence:
    """Raises `StartError`, as `NotYet` if it may go away: without it, others would end this process's generations."""
    try:
        if not settings.database_url.is_postgres:
            return SqlitePresence(settings.database_path)
        process = Process(secrets.token_hex(16), _node(), os.getpid(), _digest(settings), __version__)
        return PostgresPresence(cast("PostgresDatabase", database), process)
    except ProcessesFileFault as error:
        raise NotYet([f"DATABASE_URL: {error}"], 1) from error
    except StorageError as error:
        raise NotYet([f"DATABASE_URL: {error}"], 1) from error
    except OtherSecret as error:
        raise StartError([str(error)], EXIT_CONFIG) from error


def check_presence(settings: Settings) -> None:
    """Raises `StartError` if `open_presence` would."""
    try:
        if not settings.database_url.is_postgres:
            check_processes_file(settings.database_path)
            return
        with opened_database(settings) as database:
            check_secret(database, _node(), _digest(settings))
    except ProcessesFileFault as error:
        raise StartError([f"DATABASE_URL: {error}"], 1) from error
    except StorageError as error:
        raise DatabaseIsAway([f"DATABASE_URL: {error}"], 1) from error
    except OtherSecret as error:
        raise StartError([str(error)], EXIT_CONFIG) from error


def _node() -> str:
    """The same for all workers of one gunicorn, and for its start check: their parent is its master.

    The secret may change within a node: its workers of before end by themselves.
    """
    return f"{socket.gethostname()} (server {os.getppid()})"


def _digest(settings: Settings) -> str:
    return digest_of_secret(signing_secret(settings))
