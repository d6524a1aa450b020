"""Reads what a server reports of an answer's tokens and cost.

Some servers report 0 where they do not know. A 0 that cannot be true is unknown.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from llm_service.core.usage.pricing import normalize_usd
from llm_service.core.usage.tokens import Usage

# More than any model supports. A larger count is an error that would spoil every sum.
MAX_TOKENS = 100_000_000
# More than any call costs.
MAX_USD = 10_000


def token_count(values: Any, name: str) -> int | None:
    """A valid count; None if `values` has none of that name."""
    value = values.get(name) if isinstance(values, dict) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if good else None


def known_counts(usage: Usage, *, text: bool, reasoned: bool) -> Usage:
    """The counts, with None for each zero that means "unknown".

    `text`: the answer has text. `reasoned`: it has a reasoning item, or the model was seen to think.
    """
    if not (text or reasoned):
        return usage  # a call that failed may have cost nothing
    into, out = usage.input_tokens or None, usage.output_tokens or None
    return replace(
        usage,
        input_tokens=into,
        output_tokens=out,
        total_tokens=usage.total_tokens or None,
        # A part of an unknown number is known only if something was counted.
        cached_input_tokens=usage.cached_input_tokens if into else usage.cached_input_tokens or None,
        reasoning_tokens=usage.reasoning_tokens if out and not reasoned else usage.reasoning_tokens or None,
    )


def reported_cost(usage: Any) -> Decimal | None:
    """What the `usage` of an answer says that it costs, in US dollars; None if it does not say.

    OpenRouter reports what it charges, and for calls with the customer's own key (`is_byok`) also what the provider behind
    it charges. Perplexity reports an object with a total.
    """
    if not isinstance(usage, dict):
        return None
    cost = usage.get("cost")
    charged = _usd(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if charged is None or usage.get("is_byok") is not True:
        return charged
    details = usage.get("cost_details")
    behind = _usd(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if behind is None else charged + behind


def _usd(value: Any) -> Decimal | None:
    """An amount in the precision of amounts; None if it is none, or cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # `repr` gives the digits as written, not the nearest binary fraction. NaN is not within the bounds.
    return normalize_usd(Decimal(repr(value))) if 0 <= value <= MAX_USD else None
