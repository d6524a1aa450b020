"""The file with the first API key: read, or written once by the first process that needs it."""

import os
import stat
from pathlib import Path

from ..new_files import write_once

# Longer than any key with the white space that an editor leaves.
MAX_BYTES = 1024


class FirstKeyFileError(Exception):
    """The message is for the operator, and contains nothing of the file."""


def read_key(path: Path) -> str | None:
    """The file's text without white space around it; None = there is no such file.

    Raises `FirstKeyFileError`.
    """
    try:
        # Not blocking: a pipe would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise FirstKeyFileError(f"{path} is not a regular file")
            content = os.read(file, MAX_BYTES + 1)
        finally:
            os.close(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FirstKeyFileError(f"{path} cannot be read: {error.strerror}") from error
    return content.decode("ascii", "replace").strip()


def write_key(path: Path, key: str) -> None:
    """Write it with mode 0600, unless another process was first. Raises `FirstKeyFileError`."""
    try:
        write_once(path, f"{key}\n")
    except OSError as error:
        raise FirstKeyFileError(f"{path} cannot be written: {error.strerror}") from error
