"""Why the service does not start."""


class StartError(Exception):
    """The service must not start. `lines`: the reasons. `exit_code`: that of the process."""

    def __init__(self, lines: list[str], exit_code: int) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code


class NotYet(StartError):
    """A later start may succeed. A worker waits: if it ended, gunicorn would end the other workers, too."""


class DatabaseIsLocked(NotYet):
    """By another process."""


class DatabaseIsAway(NotYet):
    """Its server cannot be reached."""
