"""Why an answer ended, in the words of the servers that speak chat completions."""

from typing import Any

from llm_service.core.errors import ServiceError

from ..openai_api.foreign import CHAT_KIND, another_api
from ..openai_api.reported import names_an_error, says_something
from ..openai_api.verdict import CUT, FILTERED, shown_reason
from .chunks import Choice, Chunk

# OpenAI has `stop`; Together, TGI and gateways to other APIs pass on their own words. In lower case.
_COMPLETE = {"stop", "eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "complete", "completed"}
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
_FILTERED = {
    "content_filter",
    "content_filtered",
    "safety",
    "prohibited_content",
    "blocklist",
    "recitation",
    "sensitive",
}
TOOL_CALLS = "tool_calls"
_TOOL_CALLS = {TOOL_CALLS, "tool_call", "function_call", "tool_use"}
_ERROR = "error"
# The server failed, or gave up: DeepSeek, vLLM, Zhipu, OpenRouter.
_FAILED = {_ERROR, "abort", "cancelled", "network_error", "insufficient_system_resource"}
# How the objects and the events of the Responses API begin.
_RESPONSE = "response"


def reported_reason(finish_reason: Any) -> str | None:
    """Why the answer is incomplete as its server says; None if it calls it complete."""
    word = finish_reason.lower() if isinstance(finish_reason, str) else ""
    if word in _COMPLETE:
        return None
    if word in _CUT:
        return CUT
    if word in _FILTERED:
        return FILTERED
    return TOOL_CALLS if word in _TOOL_CALLS else shown_reason(finish_reason)


def raise_failure(choice: Choice) -> None:
    """Raise the error with which a choice ended, if any."""
    word = choice.finish_reason.lower() if isinstance(choice.finish_reason, str) else ""
    if says_something(choice.error) or word in _FAILED:
        raise error_told(choice.error or {"code": None if word == _ERROR else word})


def raise_told(chunk: Chunk, name: str = "") -> None:
    """Raise the error that a chunk tells without an answer, if any: its `error`, or the chunk itself.

    `name`: that of its event.
    """
    is_answer = chunk.choices is not None or chunk.usage is not None  # beside these, an empty error is none
    if says_something(chunk.error) or (chunk.error is not None and not is_answer):
        raise error_told(chunk.error)
    if chunk.choices is not None:
        return
    kind = chunk.type if isinstance(chunk.type, str) else name
    if chunk.object == _RESPONSE or kind.startswith(_RESPONSE):
        raise another_api(CHAT_KIND)
    refused = isinstance(chunk.status, int) and chunk.status >= 400
    if refused or chunk.code or chunk.detail or any(names_an_error(kind) for kind in (chunk.type, chunk.object, name)):
        told = {"type": chunk.type, "code": chunk.code, "status": chunk.status, "message": chunk.message}
        raise error_told({**told, "detail": chunk.detail})


def error_told(error: Any) -> ServiceError:
    """The core's error for the error of an answer. Its module imports the SDK, which takes half a second."""
    from ..openai_api.errors import from_error_object

    return from_error_object(error, kind=CHAT_KIND)
