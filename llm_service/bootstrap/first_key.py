"""The first API key, so that a container can start closed: `APP_FIRST_KEY_FILE`."""

import secrets
from pathlib import Path

from llm_service.adapters.files.first_key import FirstKeyFileError, read_key, write_key
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.resources import open_keyring
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.access.caller import Scope
from llm_service.core.access.keys import KEY_PREFIX, make_key, parse_key

OWNER = "admin"


def make_first_key(settings: Settings) -> None:
    """Where no key exists, not even a revoked one: store the one in the file, or one that is made and written to it.

    Nodes may start at the same time. With one file they store the same key; with several, the key of each.
    Raises `StartError`.
    """
    path = settings.first_key_file
    if path is None:
        return
    with open_keyring(settings) as keys:
        if not keys.all():
            # The file first: a key that is stored and written nowhere would be lost.
            keys.add(_key_in(path), OWNER, frozenset(Scope))


def _key_in(path: Path) -> str:
    try:
        text = read_key(path)
        if text is None:
            write_key(path, make_key(secrets.token_bytes)[0])
            text = read_key(path)
    except FirstKeyFileError as error:
        raise StartError([f"APP_FIRST_KEY_FILE: {error}"], EXIT_CONFIG) from error
    if text is None or parse_key(text) is None:
        raise StartError(
            [
                f"APP_FIRST_KEY_FILE: {path} contains no valid API key ({KEY_PREFIX}_...), or one with a typing error. "
                "Delete the file to get a new key."
            ],
            EXIT_CONFIG,
        )
    return text
