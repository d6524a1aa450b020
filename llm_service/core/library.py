"""The templates in use: swapped as a whole when the files change, kept as they are while any file is at fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from .templates import TemplateSet


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


class LibraryReporter(Protocol):
    """Who hears of changes."""

    def templates_changed(self, templates: TemplateSet) -> None: ...

    def templates_refused(self, faults: Sequence[TemplateFault]) -> None: ...

    def templates_not_kept(self, error: OSError) -> None: ...


class Library:
    """`current` is the last set that was good; who needs several templates of one set takes it once.

    `faults` says what is wrong with the files as they are now; empty = `current` is what they hold.
    """

    def __init__(self, source: TemplateSource, reporter: LibraryReporter, *, falls_back: bool = False) -> None:
        """`falls_back`: begin with the set that was kept last where the files have faults now.

        Raises `TemplateFaults` where there is no good set to begin with.
        """
        self._source = source
        self._reporter = reporter
        self.faults: tuple[TemplateFault, ...] = ()
        try:
            self.current = source.load()
        except TemplateFaults as error:
            last_good = source.last_good() if falls_back else None
            if last_good is None:
                raise
            self.current = last_good
            self._refuse(error)
        else:
            self._keep()

    def refresh(self) -> None:
        """Take over what changed; wants to be called about once a second."""
        if not self._source.changed():
            return
        try:
            loaded = self._source.load()
        except TemplateFaults as error:
            self._refuse(error)
        else:
            self.current, self.faults = loaded, ()
            self._reporter.templates_changed(loaded)
            self._keep()

    def _refuse(self, error: TemplateFaults) -> None:
        self.faults = error.faults
        self._reporter.templates_refused(error.faults)

    def _keep(self) -> None:
        try:
            self._source.keep(self.current)
        except OSError as error:
            self._reporter.templates_not_kept(error)
