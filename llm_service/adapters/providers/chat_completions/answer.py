"""Collects an answer from its chunks: its text, why it ended, and its usage."""

from collections.abc import Iterator, Sequence
from typing import Any

from llm_service.core.generation.model import Done, ProviderCall, ProviderEvent, Status
from llm_service.core.usage.tokens import Usage

from ..openai_api.quirks import Quirks
from ..openai_api.text import AnswerText
from ..openai_api.verdict import incomplete_reason
from .chunks import Choice, Chunk, Message
from .endings import TOOL_CALLS, raise_failure, raise_told, reported_reason
from .usage import parse_usage

_PART_TYPES = ("text", "output_text", "refusal")


class ChatAnswer(AnswerText):
    """Takes chunks in order; `done` ends it.

    `finished`: the server said why the answer ended. Text after that means that it had not ended: some servers say so in
    every chunk.
    """

    def __init__(self, quirks: Quirks) -> None:
        super().__init__()
        self._refused = False
        self._thought = False
        self._finish_reason: Any = None
        self._model: Any = None
        self._usage: Any = None

    @property
    def finished(self) -> bool:
        return self._finish_reason is not None

    @property
    def usage(self) -> Usage | None:
        """What was reported until now; None = nothing."""
        return None if self._usage is None else parse_usage(self._usage)

    def take(self, chunk: Chunk) -> None:
        """Raises the error that a chunk tells, or `UpstreamInvalidResponse`."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.model is not None:
            self._model = chunk.model
        if chunk.error is not None or not chunk.choices:
            raise_told(chunk)
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice)

    def finish(self, call: ProviderCall, upstream_id: str) -> Iterator[ProviderEvent]:
        yield from self.new_text()
        yield self._done(call, upstream_id)

    def _done(self, call: ProviderCall, upstream_id: str) -> Done:
        text, usage = self.whole, self.usage or Usage()
        # Only a tool was called: then it is the text that is missing.
        ending = self._finish_reason if text or reported_reason(self._finish_reason) != TOOL_CALLS else "stop"
        reason = incomplete_reason(text, self._refused, reported_reason(ending), usage, call)
        return Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text=text,
            usage=usage,
            model=self._model if isinstance(self._model, str) else call.model,
            incomplete_reason=reason,
            upstream_request_id=upstream_id[:200] or None,
        )

    def _take_choice(self, choice: Choice) -> None:
        said = choice.delta is not None and self._take_message(choice.delta)
        if choice.message is not None and not said and not self.started and not self.has_new_text:
            said = self._take_message(choice.message)  # the whole answer at once
        if said or choice.finish_reason is not None:
            self._finish_reason = choice.finish_reason
        raise_failure(choice)

    def _take_message(self, message: Message) -> bool:
        """Whether it has text."""
        content, refusal = message.content, message.refusal
        if message.reasoning_content or message.reasoning:
            self._thought = True
        if isinstance(content, list):
            content, refusal = _joined(content, "text"), refusal or _joined(content, "refusal")
        for text in (content, refusal):
            if text is not None and text != "":
                self.add(text)
        self._refused |= bool(refusal)
        return bool(content or refusal)


def _joined(parts: Sequence[Any], name: str) -> str:
    """The text of the parts of an answer; Mistral's servers send thoughts as parts too, which are of another type."""
    return "".join(
        part[name]
        for part in parts
        if isinstance(part, dict) and part.get("type") in _PART_TYPES and isinstance(part.get(name), str)
    )
