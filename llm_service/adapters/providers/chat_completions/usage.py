"""The usage that chat completions report."""

from typing import Any

from llm_service.core.usage.tokens import Usage

from ..openai_api.usage import token_count


def parse_usage(usage: Any) -> Usage:
    """The valid counts; None for the others."""
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = token_count(into, "cached_tokens")
    reasoning, total = token_count(out, "reasoning_tokens"), token_count(usage, "total_tokens")
    prompt, completion = token_count(usage, "prompt_tokens"), token_count(usage, "completion_tokens")
    if None not in (prompt, completion, reasoning, total) and prompt + completion + reasoning == total:  # type: ignore[operator]
        # xAI counts thoughts apart. They are billed as output, and every other server counts them there.
        completion += reasoning  # type: ignore[operator]
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        total_tokens=total,
        # DeepSeek's own name.
        cached_input_tokens=token_count(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        reasoning_tokens=reasoning,
    )
