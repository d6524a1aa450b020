"""Files of lines that survive the process: what was appended is on the disk, and whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def append(file: int, lines: bytes) -> None:
    """Append whole lines and flush them, or leave the file unchanged and raise `OSError`. The file is open to read, too."""
    size = os.fstat(file).st_size
    # A line that a dying process left incomplete must not absorb these.
    rest = memoryview(b"\n" + lines if size and os.pread(file, 1, size - 1) != b"\n" else lines)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def whole_lines(path: Path) -> Iterator[bytes]:
    """Without their ends. A last line without one is left out: its process died, so no caller was told that it is stored."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def flush_folder(path: Path) -> None:
    """So that a new file in it survives a power cut, too."""
    with closing(os.open(path, os.O_RDONLY)) as folder:
        os.fsync(folder)


@contextmanager
def closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)
