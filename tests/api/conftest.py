"""Fixtures of the API's tests."""

import logging
from typing import Any

import pytest

from llm_service.adapters.observability.logs import configure_logging
from tests.support.constants import KEY_CANARY


@pytest.fixture(name="log_lines")
def _log_lines() -> Any:
    """The real formatter's lines, at DEBUG."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    configure_logging("DEBUG", [KEY_CANARY])
    root = logging.getLogger()
    keep = Keep()
    keep.setFormatter(root.handlers[0].formatter)
    root.handlers = [keep]
    yield lines
    root.handlers = []
