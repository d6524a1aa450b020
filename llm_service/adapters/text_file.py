"""Reads the text files of operators: regular files of bounded size, in UTF-8."""

import stat
from pathlib import Path

from .strict_yaml import FileFormatError


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Raises `FileFormatError`, also for a pipe, which could wait forever; and `OSError`."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError("is not a regular file", 0)
    if status.st_size > max_bytes:
        raise FileFormatError(f"is larger than {max_bytes // 1024} KiB", 0)
    return path.read_bytes()


def decode(data: bytes) -> str:
    """Raises `FileFormatError`."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise FileFormatError("begins with a byte order mark: save it as UTF-8 without BOM", 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError("is not UTF-8", data[: error.start].count(b"\n") + 1) from error
    if "\x00" in text:
        raise FileFormatError("contains a NUL character", text[: text.index("\x00")].count("\n") + 1)
    return text
