"""The providers file and the files of keys that it names: read at the start, and again when one of them changes.

They are small and few, so they are read twice a second and compared by content: no change is missed, on any file system.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_service.core.file_faults import FileFault, FileFaults

from ...strict_yaml import FileFormatError
from ...text_file import decode, read_bytes
from .config import ProviderConfig
from .reader import Surroundings, read_providers

MAX_FILE_BYTES = 256 * 1024

AroundWith = Callable[[Callable[[Path], str]], Surroundings]
"""Makes the surroundings with this function to read files."""


class ProvidersFile:
    """`kept`: the file in which the last good text is saved for processes that start while this one has faults."""

    def __init__(self, path: Path, around: AroundWith, *, kept: Path | None = None) -> None:
        self._path = path
        self._around = around(self._read)
        self._kept = kept
        # The files of the last `load`, with a hash of their content.
        self._seen: dict[Path, bytes] = {}

    def changed(self) -> bool:
        """Whether a file is not as it was at the last `load`."""
        return any(_hash(path) != seen for path, seen in self._seen.items())

    def load(self) -> tuple[ProviderConfig, ...]:
        """Raises `FileFaults`."""
        self._seen = {}
        return read_providers(self._path, self._text(), self._around)

    def faults(self, messages: Sequence[str]) -> FileFaults:
        """For what concerns the whole file."""
        return FileFaults([FileFault(str(self._path), None, message) for message in messages])

    def save_last_good(self) -> None:
        """Save the text, which has no keys. Raises `OSError`."""
        if self._kept is None:
            return
        fresh = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(self._text())
        fresh.replace(self._kept)

    def load_last_good(self) -> tuple[ProviderConfig, ...] | None:
        """The providers of the text that was saved last; None = there is none, or it can no longer be used."""
        if self._kept is None or not self._kept.exists():
            return None
        try:
            return read_providers(self._path, self._kept.read_text(encoding="utf-8"), self._around)
        except FileFaults:
            return None  # such as a key that is gone

    def _text(self) -> str:
        try:
            return self._read(self._path)
        except OSError as error:
            raise self.faults([f"cannot be read ({type(error).__name__})"]) from error
        except FileFormatError as error:
            raise FileFaults([FileFault(str(self._path), error.line or None, error.message)]) from error

    def _read(self, path: Path) -> str:
        # Before it is read, so that a write in between is noticed as a change.
        self._seen[path] = _hash(path)
        return decode(read_bytes(path, MAX_FILE_BYTES))


def _hash(path: Path) -> bytes:
    """Of a file that cannot be read, of the reason: that it changes is a change, too."""
    try:
        return hashlib.sha256(read_bytes(path, MAX_FILE_BYTES)).digest()
    except (OSError, FileFormatError) as error:
        return repr(error).encode()
