"""Reads the counts of tokens that a server reports."""

from typing import Any

# More than any model supports. A larger count is an error that would spoil every sum.
MAX_TOKENS = 100_000_000


def token_count(values: Any, name: str) -> int | None:
    """A valid count; None if `values` has none of that name."""
    value = values.get(name) if isinstance(values, dict) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if good else None
