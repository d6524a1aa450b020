"""Fixtures of the API's tests."""

from typing import Any

import pytest

from tests.support.constants import KEY_CANARY
from tests.support.logs import logged


@pytest.fixture(name="log_lines")
def _log_lines() -> Any:
    """The real formatter's lines, at DEBUG."""
    with logged("DEBUG", [KEY_CANARY]) as lines:
        yield lines
