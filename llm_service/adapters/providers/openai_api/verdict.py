"""Whether an answer is complete, whatever its server calls it."""

from llm_service.core.generation.model import ProviderCall
from llm_service.core.usage.tokens import Usage

CUT = "max_output_tokens"
FILTERED = "content_filter"
REFUSAL = "refusal"
EMPTY = "empty_output"
UNKNOWN = "unknown"
# What servers call an answer that was cut.
_CUT_WORDS = {CUT, "length", "max_tokens", "max_completion_tokens"}
_MAX_REASON_CHARS = 40


def incomplete_reason(text: str, refused: bool, reported: str | None, usage: Usage, call: ProviderCall) -> str | None:
    """Why an answer is incomplete; None if it is complete.

    `refused`: the text is a refusal. `reported`: the reason that the server gave; None = it calls the answer complete.
    Servers call an answer complete that has no text, or that used up the tokens that it may have.
    """
    if reported in _CUT_WORDS:
        return CUT
    if reported is not None and reported != UNKNOWN:
        return reported
    if refused and reported is None:
        return REFUSAL
    limit, used = call.options.get("max_output_tokens"), usage.output_tokens
    if limit is not None and used is not None and used >= limit:
        return CUT
    if reported is None and not text.strip():
        return EMPTY
    return reported


def shown_reason(reason: object) -> str:
    """A server's own reason, if it is a short word."""
    good = isinstance(reason, str) and 0 < len(reason) <= _MAX_REASON_CHARS and reason.isprintable()
    return str(reason) if good else UNKNOWN
