"""Reads the counts of tokens that a server reports."""

from dataclasses import replace
from typing import Any

from llm_service.core.usage.tokens import Usage

# More than any model supports. A larger count is an error that would spoil every sum.
MAX_TOKENS = 100_000_000


def token_count(values: Any, name: str) -> int | None:
    """A valid count; None if `values` has none of that name."""
    value = values.get(name) if isinstance(values, dict) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if good else None


def known(usage: Usage, *, has_text: bool, has_thoughts: bool) -> Usage:
    """The same, with None for zeros that can only stand for "not known"."""
    if has_text and not usage.input_tokens and not usage.output_tokens:
        return Usage()
    unknown = has_thoughts and usage.reasoning_tokens == 0
    return replace(usage, reasoning_tokens=None) if unknown else usage
