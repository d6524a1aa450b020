"""Files that the service makes beside its database and in its data folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600


def open_private(path: Path, flags: int, like: Path) -> int:
    """Open a file; a new one has the mode 0600. One that root makes gets the owner of `like`, or of its folder.

    A command that is run with sudo must not leave files that the service cannot open. Raises `OSError`.
    """
    try:
        file = os.open(path, flags | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT, PRIVATE)
    if os.geteuid() == 0:
        owner = (like if like.exists() else like.parent).stat()
        # A container's root may not be allowed to. SQLite, which does the same for its log, does not fail either.
        with suppress(OSError):
            os.fchown(file, owner.st_uid, owner.st_gid)
    return file


def write_once(path: Path, text: str) -> None:
    """Write a private file, unless there is one: by a link to a complete file, which fails if another process was first.

    Raises `OSError`.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = open_private(unfinished, os.O_EXCL | os.O_WRONLY, path.parent)
    try:
        with os.fdopen(file, "w", encoding="ascii") as writing:
            writing.write(text)
            writing.flush()
            os.fsync(writing.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
