"""Where templates come from, and who is notified of changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from .model import TemplateSet


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """An error in a prompt file. `line` None = it concerns the whole file."""

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
    def template_id(self) -> str:
        return PurePath(self.path).stem

    @property
    def _line(self) -> str:
        return "" if self.line is None else f":{self.line}"


class TemplateFaults(Exception):
    """The prompt files cannot be used. `faults` has those of all files."""

    def __init__(self, faults: Sequence[TemplateFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class TemplateSource(Protocol):
    """A place that templates are loaded from."""

    def changed(self) -> bool:
        """Whether anything has changed since the last `load`."""
        ...

    def load(self) -> TemplateSet:
        """Read and check all templates and run their tests.

        Raises `TemplateFaults`.
        """
        ...

    def save_last_good(self, templates: TemplateSet) -> None:
        """Save a good set for processes that start later.

        Raises `OSError`.
        """
        ...

    def load_last_good(self) -> TemplateSet | None:
        """The set that was saved last; None = there is none."""
        ...


class TemplateReporter(Protocol):
    """Is notified of changes."""

    def templates_changed(self, templates: TemplateSet) -> None: ...

    def templates_refused(self, faults: Sequence[TemplateFault]) -> None: ...

    def templates_not_kept(self, error: OSError) -> None: ...
