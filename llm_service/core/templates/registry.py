"""The templates in use: swapped as a whole when the files change, kept as they are while any file is at fault."""

from .ports import TemplateFault, TemplateFaults, TemplateReporter, TemplateSource


class TemplateRegistry:
    """`current` is the last set that was good; who needs several templates of one set takes it once.

    `faults` says what is wrong with the files as they are now; empty = `current` is what they hold.
    """

    def __init__(self, source: TemplateSource, reporter: TemplateReporter, *, falls_back: bool = False) -> None:
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
