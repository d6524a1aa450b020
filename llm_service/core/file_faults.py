"""Errors in files that an operator writes: prompt files, the providers file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class FileFault:
    """An error in a file. `line` None = it concerns the whole file."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}{self._line}: {self.message}"

    @property
    def shown(self) -> str:
        """Without the folder, which callers need not see: `summarize_v1.prompty:7: ...`."""
        return f"{PurePath(self.path).name}{self._line}: {self.message}"

    @property
    def _line(self) -> str:
        return "" if self.line is None else f":{self.line}"


class FileFaults(Exception):
    """Files cannot be used. `faults` has all that were found."""

    def __init__(self, faults: Sequence[FileFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
