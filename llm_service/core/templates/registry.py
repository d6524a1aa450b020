"""The templates in use: replaced together when the files change, unchanged while any file has errors."""

from .ports import TemplateFault, TemplateFaults, TemplateReporter, TemplateSource


class TemplateRegistry:
    """`current` is the last good set. Read it once to get several templates of the same set.

    `faults` are the errors of the files as they are now; empty = `current` matches the files.
    """

    def __init__(self, source: TemplateSource, reporter: TemplateReporter, *, falls_back: bool = False) -> None:
        """`falls_back`: begin with the set that was saved last if the files have errors.

        Raises `TemplateFaults` if there is no good set.
        """
        self._source = source
        self._reporter = reporter
        self.faults: tuple[TemplateFault, ...] = ()
        try:
            self.current = source.load()
        except TemplateFaults as error:
            last_good = source.load_last_good() if falls_back else None
            if last_good is None:
                raise
            self.current = last_good
            self._refuse(error)
        else:
            self._save()

    def refresh(self) -> bool:
        """Load changed files; whether there were any. Must be called about once a second."""
        if not self._source.changed():
            return False
        try:
            loaded = self._source.load()
        except TemplateFaults as error:
            self._refuse(error)
        else:
            self.current, self.faults = loaded, ()
            self._reporter.templates_changed(loaded)
            self._save()
        return True

    def _refuse(self, error: TemplateFaults) -> None:
        self.faults = error.faults
        self._reporter.templates_refused(error.faults)

    def _save(self) -> None:
        try:
            self._source.save_last_good(self.current)
        except OSError as error:
            self._reporter.templates_not_kept(error)
