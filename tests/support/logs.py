"""The log, as a list of its lines."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO

import structlog

from llm_service.adapters.observability.logs import configure_logging


class _Lines(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        self.lines.append(text.removesuffix("\n"))
        return len(text)


@contextmanager
def logged(level: str, secrets: Iterable[str] = ()) -> Iterator[list[str]]:
    """The lines that the real configuration writes."""
    stream = _Lines()
    configure_logging(level, secrets, stream)
    try:
        yield stream.lines
    finally:
        root = logging.getLogger()
        root.handlers = []
        root.setLevel(logging.WARNING)
        structlog.reset_defaults()
