"""The usage that the Responses API reports."""

from typing import Any

from llm_service.core.generation.model import Billed
from llm_service.core.usage.tokens import NOT_REPORTED, Usage

from ..openai_api.usage import known_counts, reported_cost, token_count


def parse_usage(usage: Any) -> Usage:
    """The valid counts; None for the others."""
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        input_tokens=token_count(usage, "input_tokens"),
        output_tokens=token_count(usage, "output_tokens"),
        total_tokens=token_count(usage, "total_tokens"),
        cached_input_tokens=token_count(into, "cached_tokens"),
        reasoning_tokens=token_count(out, "reasoning_tokens"),
    )


def billed_of(response: Any, *, text: bool, reasoned: bool) -> Billed | None:
    """What a response that failed reports; None = nothing. `text`, `reasoned`: what came before, as in `known_counts`."""
    if not isinstance(response, dict):
        return None
    usage = known_counts(parse_usage(response.get("usage")), text=text, reasoned=reasoned)
    cost_usd = reported_cost(response.get("usage"))
    return None if usage == NOT_REPORTED and cost_usd is None else Billed(usage, cost_usd)
