"""The secret that signs browsers' tokens: made once, beside the database, for every process that shares it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

MIN_CHARS = 32


class SecretFileError(Exception):
    """The message is for the operator."""


def read_or_make(path: Path) -> str:
    """The file's content; where there is no file, one is made that its owner alone may read.

    Raises `SecretFileError`. Of several processes that come at once, one makes it and all have the same.
    """
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(f"SECRET_KEY: {path} cannot be used ({type(error).__name__})") from error
    if len(secret) < MIN_CHARS:
        raise SecretFileError(f"SECRET_KEY: {path} is shorter than {MIN_CHARS} characters; delete it to get a new one")
    return secret


def _make(path: Path) -> None:
    """Whole or not at all: a link to a finished file, which fails where another process was first."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as writing:
            writing.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):  # another process was first: its secret is everybody's
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
