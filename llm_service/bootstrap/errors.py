"""Why the service does not start."""


class StartError(Exception):
    """The service must not start. `lines`: the reasons. `exit_code`: that of the process."""

    def __init__(self, lines: list[str], exit_code: int) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code


class DatabaseIsLocked(StartError):
    """By another process. A later start may succeed."""
