"""Where templates come from, and who hears of changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from .model import TemplateSet


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """What is wrong with one file; `line` None = with the file as a whole."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}{self._line}: {self.message}"

    @property
    def shown(self) -> str:
        """Without the folder, which callers need not know: `summarize_v1.prompty:7: ...`."""
        return f"{PurePath(self.path).name}{self._line}: {self.message}"

    @property
    def template_id(self) -> str:
        return PurePath(self.path).stem

    @property
    def _line(self) -> str:
        return "" if self.line is None else f":{self.line}"


class TemplateFaults(Exception):
    """A set of templates cannot be used; `faults` has every file's."""

    def __init__(self, faults: Sequence[TemplateFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class TemplateSource(Protocol):
    """Where templates come from."""

    def changed(self) -> bool:
        """Whether anything is otherwise than at the last `load`."""
        ...

    def load(self) -> TemplateSet:
        """Read and check everything, the templates' own tests too.

        Raises `TemplateFaults`.
        """
        ...

    def keep(self, templates: TemplateSet) -> None:
        """Keep a good set where processes that start later find it.

        Raises `OSError`.
        """
        ...

    def last_good(self) -> TemplateSet | None:
        """The set that was kept last; None = there is none."""
        ...


class TemplateReporter(Protocol):
    """Who hears of changes."""

    def templates_changed(self, templates: TemplateSet) -> None: ...

    def templates_refused(self, faults: Sequence[TemplateFault]) -> None: ...

    def templates_not_kept(self, error: OSError) -> None: ...
