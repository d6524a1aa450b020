"""Collects an answer from its chunks: its text, why it ended, and its usage."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from llm_service.core.generation.model import Billed, Delta, Done, ProviderCall, ProviderEvent, Status
from llm_service.core.usage.tokens import NOT_REPORTED

from ..openai_api.json_answer import json_answer
from ..openai_api.quirks import Quirks
from ..openai_api.text import AnswerText
from ..openai_api.thinking import ThinkFilter
from ..openai_api.usage import known_counts, reported_cost
from ..openai_api.verdict import incomplete_reason
from .chunks import Choice, Chunk, Message
from .endings import TOOL_CALLS, raise_failure, raise_told, reported_reason
from .usage import parse_usage

_PART_TYPES = ("text", "output_text", "refusal")
# The parts in which Mistral's servers send thoughts.
_THINKING = "thinking"


class ChatAnswer(AnswerText):
    """Takes chunks in order; `finish` ends it.

    `recognized`: something of it was of this API.
    """

    def __init__(self, quirks: Quirks) -> None:
        super().__init__()
        self._thoughts = ThinkFilter() if quirks.strip_think else None
        self.recognized = False
        # More text is added as it is: it has begun, and is not finished.
        self._goes_on = False
        self._resumed = False
        self._refused = False
        self._thought = False
        self._finish_reason: Any = None
        self._model: Any = None
        self._usage: Any = None

    @property
    def finished(self) -> bool:
        """The server said why the answer ended, in what it sent last: more text means that it goes on."""
        return self._finish_reason is not None

    @property
    def is_whole(self) -> bool:
        """It is finished, also if nothing else arrives. Some servers call each chunk the last one: they must end well."""
        return self.finished and not self._resumed

    @property
    def thought(self) -> bool:
        """Whether the model was seen to think."""
        return self._thought or (self._thoughts is not None and self._thoughts.thought)

    @property
    def billed(self) -> Billed | None:
        """What was reported until now; None = nothing."""
        usage = known_counts(parse_usage(self._usage), text=self.started, reasoned=self._thought)
        cost_usd = reported_cost(self._usage)
        return None if usage == NOT_REPORTED and cost_usd is None else Billed(usage, cost_usd)

    def take(self, chunks: Iterable[Chunk], names: Callable[[], Sequence[str]] = tuple) -> None:
        """Raises the error that a chunk tells, or `UpstreamInvalidResponse`. The loop runs for each token.

        `names`: gives the names of their events, which none but errors have.
        """
        named: Sequence[str] | None = None
        for number, chunk in enumerate(chunks):
            if chunk.usage is not None:
                self._usage = chunk.usage
            if chunk.error is not None or not chunk.choices:
                named = names() if named is None else named
                raise_told(chunk, named[number] if number < len(named) else "")
                self.recognized |= chunk.choices is not None or chunk.usage is not None
            for choice in chunk.choices or ():
                if choice.index:
                    continue  # no other was asked for
                delta = choice.delta
                if (
                    self._goes_on
                    and choice.finish_reason is None
                    and choice.error is None
                    and delta is not None
                    and delta.refusal is None
                    and type(delta.content) is str
                ):
                    self._new.append(delta.content)
                else:
                    self._model = chunk.model if chunk.model is not None else self._model
                    self._take_choice(choice)

    def new_text(self) -> Sequence[Delta]:
        if self._thoughts is not None and self._new:
            self._new = [text] if (text := self._thoughts.feed("".join(self._new))) else []
        return super().new_text()

    def finish(self, call: ProviderCall, upstream_id: str) -> Iterator[ProviderEvent]:
        """The rest of the text, and the end."""
        yield from self.new_text()
        if self._thoughts is not None and (rest := self._thoughts.end()):
            self._new = [rest]
            yield from super().new_text()
        text = self.whole
        usage = known_counts(parse_usage(self._usage), text=bool(text), reasoned=self.thought)
        reason = incomplete_reason(text, self._refused, self._reported_reason(text), usage, call)
        yield Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text=(call.output and json_answer([text])) or text,
            usage=usage,
            model=self._model if isinstance(self._model, str) else call.model,
            incomplete_reason=reason,
            upstream_request_id=upstream_id[:200] or None,
            cost_usd=reported_cost(self._usage),
        )

    def _reported_reason(self, text: str) -> str | None:
        reported = reported_reason(self._finish_reason)
        # If only a tool was called, what is missing is the text.
        return None if reported == TOOL_CALLS and not text else reported

    def _take_choice(self, choice: Choice) -> None:
        self.recognized = True
        delta, finish_reason = choice.delta, choice.finish_reason or None  # some servers send ""
        said = delta is not None and self._take_message(delta)
        if choice.message is not None and not said and not self.started and not self.has_new_text:
            said = self._take_message(choice.message)  # the whole answer at once
        if said or finish_reason is not None:
            self._resumed |= said and self._finish_reason is not None
            self._finish_reason = finish_reason
        if finish_reason is not None or choice.error is not None:
            raise_failure(choice)
        self._goes_on = said and finish_reason is None

    def _take_message(self, message: Message) -> bool:
        """Whether it has text."""
        content, refusal = message.content, message.refusal
        if message.reasoning_content or message.reasoning:
            self._thought = True
        if isinstance(content, list):
            self._thought |= any(isinstance(part, dict) and part.get("type") == _THINKING for part in content)
            content, refusal = _joined(content, "text"), refusal or _joined(content, "refusal")
        said = content is not None and content != ""
        if said:
            self.add(content)
        if refusal:
            self._refused = True
            self.add(refusal)
        return said or bool(refusal)


def _joined(parts: Sequence[Any], name: str) -> str:
    """The text of the parts of an answer; thoughts are parts too, which are of another type."""
    return "".join(
        part[name]
        for part in parts
        if isinstance(part, dict) and part.get("type") in _PART_TYPES and isinstance(part.get(name), str)
    )
