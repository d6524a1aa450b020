"""Parts of the service that start checks and commands also open on their own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import structlog

from llm_service.adapters.files.secret import SecretFileError, read_or_make
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.memory.cache import CACHE_EPOCH
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.adapters.providers.prices import ModelPrices, PricesFileError, read_prices
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.errors import DatabaseAway, DatabaseFault, DatabaseLocked
from llm_service.adapters.sql.keys import SqlKeys
from llm_service.adapters.sql.retention import SqlRetention
from llm_service.adapters.sql.sqlite import database as sqlite
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.bootstrap.errors import DatabaseIsAway, DatabaseIsLocked, StartError
from llm_service.bootstrap.retention import WholeRetention
from llm_service.bootstrap.settings import EXIT_CONFIG, UNSET_SIGNING_KEY, Settings
from llm_service.bootstrap.stores import history_stores
from llm_service.core.access.keyring import Keyring
from llm_service.core.history.ports import HistoryQueries, Retention
from llm_service.core.templates.ports import TemplateFaults
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.usage.reports import UsageReports
from llm_service.core.wake_ups import WakeUps

LAST_GOOD_PROMPTS = "last_good_prompts.json"
LAST_GOOD_PROVIDERS = "last_good_providers.yml"
SIGNING_FILE = "secret_key"


def load_templates(settings: Settings, *, run_tests: bool = True, kept: Path | None = None) -> TemplateRegistry:
    """`kept`: the file with the last good set, used if a prompt file is invalid.

    Raises `StartError` with the file, line and error of each invalid file and each failed test.
    """
    folder = PromptFolder(
        settings.prompts_dir, default_max_chars=settings.input_max_chars, run_tests=run_tests, kept=kept
    )
    try:
        return TemplateRegistry(folder, LogReporter(), falls_back=kept is not None)
    except TemplateFaults as error:
        raise StartError([str(fault) for fault in error.faults], 1) from error


def load_prices(settings: Settings) -> ModelPrices:
    """Raises `StartError`."""
    path = settings.prices_file
    try:
        own = read_prices(path) if path else {}
    except PricesFileError as error:
        raise StartError([f"APP_PRICES_FILE: {error}"], EXIT_CONFIG) from error
    return ModelPrices(own, {})


def signing_secret(settings: Settings) -> bytes:
    """`SECRET_KEY`, or the content of a file in the data folder, which is created on first start.

    Raises `StartError`.
    """
    if settings.secret_key is not None:
        return settings.secret_key.value.encode()
    if settings.database_url.is_postgres:
        # Each node would make one of its own.
        raise StartError([UNSET_SIGNING_KEY], EXIT_CONFIG)
    try:
        return read_or_make(open_data_folder(settings) / SIGNING_FILE).encode()
    except SecretFileError as error:
        raise StartError([str(error)], EXIT_CONFIG) from error


def open_data_folder(settings: Settings) -> Path:
    """The data folder, created if needed.

    Raises `StartError`, also if it is not writable: paid answers that the database cannot take are stored there.
    """
    folder = settings.data_folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartError([f"APP_DATA_DIR: {folder} cannot be created ({type(error).__name__})"], EXIT_CONFIG) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartError([f"APP_DATA_DIR: {folder} is not writable"], EXIT_CONFIG)
    return folder


def open_spool(settings: Settings) -> FileSpool:
    """The spool of this database."""
    open_data_folder(settings)
    return FileSpool(spool_path(settings), keeps_texts=settings.history == "full")


def check_spool(settings: Settings) -> None:
    """Raises `StartError` if paid answers wait where they were kept before APP_DATA_DIR was set.

    On PostgreSQL, only warns of those for another address: they may be another service's.
    """
    if settings.database_url.is_postgres:
        path = spool_path(settings)
        for other in sorted(path.parent.glob("postgresql-*.spool")):
            if other != path and other.stat().st_size:
                structlog.get_logger("llm_service").warning(
                    f"APP_DATA_DIR: {other} contains answers for a database with another address. If it is this one "
                    f"(its server moved), stop the service and run: cat {other} >> {path} && rm {other}"
                )
        return
    if _is_beside_database(settings):
        return
    path, left = spool_path(settings), settings.database_path.with_name(f"{settings.database_path.name}.spool")
    if left.exists() and left.stat().st_size:
        raise StartError(
            [f"APP_DATA_DIR: {left} contains answers that are not in the history yet. Move it: mv {left} {path}"],
            EXIT_CONFIG,
        )


def spool_path(settings: Settings) -> Path:
    return settings.data_folder / f"{_database_name(settings)}.spool"


def kept_prompts(settings: Settings) -> Path:
    """The file with the last good set of prompts, for a worker that starts while a prompt file is broken."""
    return _kept(settings, LAST_GOOD_PROMPTS)


def kept_providers(settings: Settings) -> Path:
    """The file with the last good text of the providers file, likewise."""
    return _kept(settings, LAST_GOOD_PROVIDERS)


def _kept(settings: Settings, name: str) -> Path:
    prefix = "" if _is_beside_database(settings) else f"{_database_name(settings)}."
    return open_data_folder(settings) / f"{prefix}{name}"


def _database_name(settings: Settings) -> str:
    """Unique in the data folder: databases of several folders may share it and have the same file name."""
    if settings.database_url.is_postgres:
        return f"postgresql-{settings.database_url.digest}"
    path = settings.database_path
    if _is_beside_database(settings):
        return path.name
    return f"{path.name}-{sha256(os.fsencode(path.resolve())).hexdigest()[:12]}"


def _is_beside_database(settings: Settings) -> bool:
    if settings.database_url.is_postgres:
        return False
    return settings.data_folder.resolve() == settings.database_path.parent.resolve()


def migrate_database(settings: Settings, *, at_start: bool = False) -> bool:
    """True if anything was migrated. `at_start`: a PostgreSQL database only if it is empty.

    Raises `StartError`.
    """
    url = settings.database_url
    try:
        if not url.is_postgres:
            return sqlite.migrate(url.text)
        # Its driver is loaded only where it is used.
        from llm_service.adapters.sql.postgres.database import migrate

        return migrate(url.text, only_empty=at_start)
    except DatabaseFault as error:
        raise _start_error(error) from error


def open_database(settings: Settings) -> Database:
    """Raises `StartError`."""
    url = settings.database_url
    try:
        if not url.is_postgres:
            return sqlite.Database(url.text)
        from llm_service.adapters.sql.postgres.database import PostgresDatabase

        return PostgresDatabase(url.text)
    except DatabaseFault as error:
        raise _start_error(error) from error


def _start_error(error: DatabaseFault) -> StartError:
    kinds = {DatabaseLocked: DatabaseIsLocked, DatabaseAway: DatabaseIsAway}
    return kinds.get(type(error), StartError)([str(error)], 1)


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def open_history_queries(settings: Settings) -> Iterator[HistoryQueries | None]:
    """Only lists and exports; None if no history is kept."""
    with opened_database(settings) as database:
        yield history_stores(database, settings.history).queries


@contextmanager
def open_retention(settings: Settings) -> Iterator[Retention]:
    """Only deletion."""
    with opened_database(settings) as database:
        yield WholeRetention(SqlRetention(database), open_spool(settings))


@contextmanager
def open_keyring(settings: Settings, wake_ups: WakeUps | None = None) -> Iterator[Keyring]:
    """Only the API keys."""
    with opened_database(settings) as database:
        yield Keyring(SqlKeys(database), SystemClock(), secrets.token_bytes, wake_ups)


@contextmanager
def open_usage_reports(settings: Settings) -> Iterator[UsageReports]:
    """Only the usage reports."""
    with opened_database(settings) as database:
        yield UsageReports(SqlUsage(database))


def invalidate_caches(settings: Settings) -> None:
    """Make every process empty its cache within a second."""
    with opened_database(settings) as database:
        SqlEpochs(database).advance(CACHE_EPOCH)
