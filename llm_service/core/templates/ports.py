"""Where templates come from, where used ones are kept, and who is notified of changes."""

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Protocol

from ..file_faults import FileFault, FileFaults
from .model import StoredRevision, Template, TemplateSet, UsedRevision


class TemplateFault(FileFault):
    """An error in a prompt file."""

    @property
    def template_id(self) -> str:
        return PurePath(self.path).stem


class TemplateFaults(FileFaults):
    """The prompt files cannot be used. `faults` has those of all files."""

    faults: tuple[TemplateFault, ...]


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


ParseTemplate = Callable[[str, str], Template]
"""Parses the source of a template with this id, without running its tests. Raises `TemplateFaults`."""


class RevisionStore(Protocol):
    """The sources of revisions that were used. All methods raise `StorageError`."""

    def add(self, revision: StoredRevision) -> None:
        """One that is stored already does not change. It never waits for a lock: there is a next time."""
        ...

    def used(self, template_id: str | None) -> Sequence[UsedRevision]:
        """Of this template, or of all, the newest first."""
        ...

    def source(self, template_id: str, revision: str) -> str | None: ...
