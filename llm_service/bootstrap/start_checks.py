"""Checks before the server starts. Commands open what they need without these checks."""

import time
from pathlib import Path

from llm_service.bootstrap.errors import DatabaseIsAway, DatabaseIsLocked, StartError
from llm_service.bootstrap.first_key import make_first_key
from llm_service.bootstrap.presence import check_presence
from llm_service.bootstrap.providers import read_configs
from llm_service.bootstrap.resources import (
    check_spool,
    load_prices,
    load_templates,
    migrate_database,
    open_data_folder,
    open_keyring,
    signing_secret,
)
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings

CHECKOUT = Path(__file__).resolve().parents[2]
CHECKOUT_FOLDERS = ("templates_html", "static")
# A start with a migration waits as long for another process that has locked the database, such as a backup.
LOCK_PATIENCE_S = 60
# A database server may start at the same time as this one.
SERVER_PATIENCE_S = 30
CREATE_A_KEY = "Create one: flask keys create NAME --scope generate,history,usage"


def check_start(settings: Settings, needs_key: str | None = None) -> None:
    """Check everything that a worker needs and migrate the database.

    `needs_key`: why callers need a key, if it is not in the settings (an address from the command line).
    Raises `StartError`.
    """
    if refusals := settings.refusals():
        raise StartError(refusals, EXIT_CONFIG)
    if missing := [name for name in CHECKOUT_FOLDERS if not (CHECKOUT / name).is_dir()]:
        raise StartError(
            [f"{CHECKOUT / name}: is missing. The program must run from its checkout" for name in missing], 1
        )
    load_templates(settings)
    read_configs(settings)
    load_prices(settings)
    _migrate_patiently(settings)
    check_presence(settings)
    open_data_folder(settings)
    check_spool(settings)
    signing_secret(settings)
    make_first_key(settings)
    refuse_to_be_open(settings, needs_key or settings.needs_key)


def _migrate_patiently(settings: Settings) -> None:
    began = time.monotonic()
    while True:
        try:
            migrate_database(settings, at_start=True)
        except DatabaseIsLocked:
            if time.monotonic() - began > LOCK_PATIENCE_S:
                raise
            time.sleep(0.1)  # most of the wait is SQLite's own
        except DatabaseIsAway:
            if time.monotonic() - began > SERVER_PATIENCE_S:
                raise
            time.sleep(0.5)
        else:
            return


def refuse_to_be_open(settings: Settings, needs_key: str | None) -> None:
    """Raises `StartError` with the command that creates a key, if one is needed and none exists."""
    if needs_key is None:
        return
    with open_keyring(settings) as keys:
        if not keys.has_usable_key():
            raise StartError([f"{needs_key}, and there is no usable API key yet. {CREATE_A_KEY}"], EXIT_CONFIG)
