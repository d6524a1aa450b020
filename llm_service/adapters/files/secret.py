"""The secret that signs browsers' tokens: created once and shared by all processes."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from ..new_files import open_private

MIN_CHARS = 32


class SecretFileError(Exception):
    """The message is for the operator."""


def read_or_make(path: Path) -> str:
    """The file's content. A missing file is created with mode 0600.

    Several processes may call it at once: one creates the file, and all return the same secret.
    Raises `SecretFileError`.
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
    """Atomically: by a link to a complete file, which fails if another process was first."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = open_private(unfinished, os.O_EXCL | os.O_WRONLY, path.parent)
    try:
        with os.fdopen(file, "w", encoding="ascii") as writing:
            writing.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):  # another process was first: its secret is used
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
