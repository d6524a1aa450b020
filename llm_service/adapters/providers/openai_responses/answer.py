"""Collects the events of an answer: text, usage, and whether it is complete."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_service.core.errors import OutputTooLarge, UpstreamInvalidResponse
from llm_service.core.generation.model import Delta, Done, ProviderEvent, Status
from llm_service.core.text import repair
from llm_service.core.usage.tokens import Usage

MAX_OUTPUT_BYTES = 2 * 1024 * 1024
# More than any model supports. A larger count is an error that would spoil every sum.
MAX_TOKENS = 100_000_000


class Answer:
    """The text received so far; `finish` ends it with the terminal event. `refused`: it is a refusal."""

    def __init__(self) -> None:
        self.refused = False
        self._new: list[str] = []
        self._parts: list[str] = []
        self._bytes = 0

    @property
    def started(self) -> bool:
        return bool(self._parts)

    @property
    def has_new_text(self) -> bool:
        return bool(self._new)

    def add(self, text: Any) -> None:
        if not isinstance(text, str):
            raise UpstreamInvalidResponse("The model provider sent a text delta that is not text.")
        self._new.append(text)

    def new_text(self) -> Sequence[Delta]:
        """What was added since the last call, as one delta, if anything was."""
        if not self._new:
            return ()
        text, self._new = repair("".join(self._new)), []
        self._bytes += len(text.encode())
        if self._bytes > MAX_OUTPUT_BYTES:
            raise OutputTooLarge("The answer is larger than 2 MiB.")
        self._parts.append(text)
        return (Delta(text),)

    def finish(self, response: Any, model: str, upstream_id: str) -> list[ProviderEvent]:
        if not isinstance(response, dict):
            raise UpstreamInvalidResponse("The model provider's last event has no response.")
        if response.get("status") not in ("completed", "incomplete"):
            from .errors import from_error_object

            raise from_error_object(response.get("error"))
        late: list[ProviderEvent] = []
        if not self._parts:
            text, refused = _whole_text(response)
            if text:
                self.refused = refused
                self.add(text)
            late += self.new_text()
        reason = _incomplete_reason(response, self.refused)
        reported = response.get("model")
        done = Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text="".join(self._parts),
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
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        cached_input_tokens=_count(into, "cached_tokens"),
        reasoning_tokens=_count(out, "reasoning_tokens"),
    )


def _count(values: Any, name: str) -> int | None:
    value = values.get(name) if isinstance(values, dict) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if good else None
