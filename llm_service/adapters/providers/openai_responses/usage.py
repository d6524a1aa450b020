"""The usage that the Responses API reports."""

from typing import Any

from llm_service.core.usage.tokens import Usage

from ..openai_api.usage import token_count


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
