"""A provider without a model: it repeats the prompt, word by word.

For trying the whole service without a key, for tests and for screenshots. It is deterministic and counts words as
tokens. If the template declares outputs, it answers with their JSON sample.
"""

import json
import re
import time
from collections.abc import Generator

from llm_service.core.errors import Cancelled, DeadlineExceeded
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall, ProviderEvent, Status
from llm_service.core.usage.tokens import Usage

NAME = "echo"
PREFACE = "Echo (no model was asked): "


class EchoProvider:
    """`delay_s`: pause before each word, to show how waiting looks."""

    warmed = True

    def __init__(self, delay_s: float = 0.0, *, name: str = NAME) -> None:
        self.name = name
        self.identity = f"{name}:1"
        self._delay_s = delay_s

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        words = re.findall(r"\s*\S+\s*", _answer(call))
        limit = call.options.get("max_output_tokens") or len(words)
        for word in words[:limit]:
            if context.stopped or (self._delay_s and context.sleep(self._delay_s)):
                raise Cancelled("The call was stopped.")
            if time.monotonic() > context.deadline:
                raise DeadlineExceeded("The echo took longer than a generation may take.")
            yield Delta(word)
        cut = len(words) > limit
        asked = sum(len(message.text.split()) for message in call.messages)
        answered = min(len(words), limit)
        yield Done(
            status=Status.INCOMPLETE if cut else Status.COMPLETED,
            text="".join(words[:limit]),
            usage=Usage(asked, answered, asked + answered, 0, 0),
            model=NAME,
            incomplete_reason="max_output_tokens" if cut else None,
        )

    def warm(self) -> None:
        """Nothing to warm."""

    def health_error(self) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to close."""


def _answer(call: ProviderCall) -> str:
    if call.output is None:
        return PREFACE + call.user_prompt
    return json.dumps(dict(call.output.sample), ensure_ascii=False, indent=2)
