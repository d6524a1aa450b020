"""The last event of an answer: its text, its usage, and whether it is complete."""

from collections.abc import Mapping
from typing import Any

from llm_service.core.errors import UpstreamInvalidResponse
from llm_service.core.generation.model import Done, ProviderEvent, Status
from llm_service.core.usage.tokens import Usage

from ..openai_api.text import AnswerText
from ..openai_api.usage import token_count


class Answer(AnswerText):
    """`finish` ends it with the terminal event. `refused`: it is a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = False

    def finish(self, response: Any, model: str, upstream_id: str) -> list[ProviderEvent]:
        if not isinstance(response, dict):
            raise UpstreamInvalidResponse("The model provider's last event has no response.")
        if response.get("status") not in ("completed", "incomplete"):
            from ..openai_api.errors import from_error_object

            raise from_error_object(response.get("error"))
        late: list[ProviderEvent] = []
        if not self.started:
            text, refused = _whole_text(response)
            if text:
                self.refused = refused
                self.add(text)
            late += self.new_text()
        reason = _incomplete_reason(response, self.refused)
        reported = response.get("model")
        done = Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text=self.whole,
            usage=usage_of(response),
            model=reported if isinstance(reported, str) else model,
            incomplete_reason=reason,
            upstream_request_id=upstream_id[:200] or None,
        )
        return [*late, done]


def _whole_text(response: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of a response without deltas, and whether it is a refusal."""
    texts, refusals = list[str](), list[str]()
    for item in response.get("output") or []:
        for part in (item.get("content") or []) if isinstance(item, dict) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
                refusals.append(part["refusal"])
    return ("".join(texts), False) if texts or not refusals else ("".join(refusals), True)


def _incomplete_reason(response: Mapping[str, Any], refused: bool) -> str | None:
    """None for a complete answer. A refusal is not complete."""
    if response.get("status") == "completed":
        return "refusal" if refused else None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if isinstance(reason, str) and len(reason) <= 40 and reason.isprintable() else "unknown"


def usage_of(response: Any) -> Usage:
    return parse_usage(response.get("usage")) if isinstance(response, dict) else Usage()


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
