"""The parts of the service that start checks and commands also open alone. Each raises `StartError` with what is wrong."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_service.adapters.files.secret import SecretFileError, read_or_make
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.memory.cache import CACHE_EPOCH
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.adapters.providers.echo import NAME as ECHO
from llm_service.adapters.providers.prices import ModelPrices, PricesFileError, read_prices
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.keys import SqlKeys
from llm_service.adapters.sql.retention import SqlRetention
from llm_service.adapters.sql.sqlite.database import Database, migrate, sqlite_path
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.bootstrap.stores import history_stores
from llm_service.core.access.keyring import Keyring
from llm_service.core.history.ports import HistoryQueries, Retention
from llm_service.core.templates.ports import TemplateFaults
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.usage.reports import UsageReports

# Beside the database: the folder that is surely the service's own.
KEPT_PROMPTS = "last_good_prompts.json"
SIGNING_FILE = "secret_key"


def load_templates(settings: Settings, *, run_tests: bool = True, kept: Path | None = None) -> TemplateRegistry:
    """`kept`: where the last good set is, for a worker that starts while a file is broken.

    Raises `StartError` with file, line and fault of each broken file, and of each test in one that fails.
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
    # The echo is no model that anyone could have published a price for.
    return ModelPrices(own, public=settings.chosen_provider != ECHO)


def signing_secret(settings: Settings) -> bytes:
    """The one that is set, or one that is made beside the database at the first start.

    Raises `StartError`.
    """
    if settings.secret_key is not None:
        return settings.secret_key.value.encode()
    try:
        return read_or_make(sqlite_path(settings.database_url).with_name(SIGNING_FILE)).encode()
    except SecretFileError as error:
        raise StartError([str(error)], EXIT_CONFIG) from error


def migrate_database(settings: Settings) -> bool:
    """True if there was anything to do.

    Raises `StartError`.
    """
    try:
        return migrate(settings.database_url)
    except DatabaseFault as error:
        raise StartError([str(error)], 1) from error


def open_database(settings: Settings) -> Database:
    """Raises `StartError`."""
    try:
        return Database(settings.database_url)
    except DatabaseFault as error:
        raise StartError([str(error)], 1) from error


@contextmanager
def open_history_queries(settings: Settings) -> Iterator[HistoryQueries | None]:
    """Lists and exports alone, for a command; None where no history is kept.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield history_stores(database, settings.history).queries
    finally:
        database.close()


@contextmanager
def open_retention(settings: Settings) -> Iterator[Retention]:
    """Deletion alone, for a command.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield SqlRetention(database)
    finally:
        database.close()


def kept_prompts(settings: Settings) -> Path:
    """Where the last good set of prompts is, for a worker that starts while a file is broken."""
    return sqlite_path(settings.database_url).with_name(KEPT_PROMPTS)


def open_spool(settings: Settings) -> FileSpool:
    """Beside the database: on the disk that the operator gave to what must last."""
    path = sqlite_path(settings.database_url)
    return FileSpool(path.with_name(f"{path.name}.spool"), keeps_texts=settings.history == "full")


@contextmanager
def open_keyring(settings: Settings) -> Iterator[Keyring]:
    """The keys alone, for a command.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield Keyring(SqlKeys(database), SystemClock(), secrets.token_bytes)
    finally:
        database.close()


@contextmanager
def open_usage_reports(settings: Settings) -> Iterator[UsageReports]:
    """The sums of usage alone, for a command.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield UsageReports(SqlUsage(database))
    finally:
        database.close()


def invalidate_caches(settings: Settings) -> None:
    """Every process empties its cache within a second.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        SqlEpochs(database).advance(CACHE_EPOCH)
    finally:
        database.close()
