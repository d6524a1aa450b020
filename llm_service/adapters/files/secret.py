"""The secret that signs browsers' tokens: created once and shared by all processes."""

import secrets
from pathlib import Path

from ..new_files import write_once

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
            write_once(path, secrets.token_hex(32) + "\n")
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(f"SECRET_KEY: {path} cannot be used ({type(error).__name__})") from error
    if len(secret) < MIN_CHARS:
        raise SecretFileError(f"SECRET_KEY: {path} is shorter than {MIN_CHARS} characters; delete it to get a new one")
    return secret
