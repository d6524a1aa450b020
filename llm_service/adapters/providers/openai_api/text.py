"""Collects the text of an answer as it arrives."""

from collections.abc import Sequence
from typing import Any

from llm_service.core.errors import OutputTooLarge, UpstreamInvalidResponse
from llm_service.core.generation.model import Delta
from llm_service.core.text import repair

MAX_OUTPUT_BYTES = 2 * 1024 * 1024


class AnswerText:
    """The text received so far."""

    def __init__(self) -> None:
        self._new: list[str] = []
        self._parts: list[str] = []
        self._bytes = 0
        self._length = 0

    @property
    def started(self) -> bool:
        return bool(self._parts)

    @property
    def has_new_text(self) -> bool:
        return bool(self._new)

    @property
    def whole(self) -> str:
        """All text that was taken with `new_text`."""
        return "".join(self._parts)

    @property
    def length(self) -> int:
        """How much text was added, in characters."""
        return self._length + sum(map(len, self._new))

    def text_since(self, start: int) -> str:
        """The text that was added, from a position."""
        return repair("".join([*self._parts, *self._new])[start:])

    def add(self, text: Any) -> None:
        if not isinstance(text, str):
            raise UpstreamInvalidResponse("The model provider sent a text delta that is not text.")
        self._new.append(text)

    def new_text(self) -> Sequence[Delta]:
        """What was added since the last call, as one delta, if anything was."""
        if not self._new:
            return ()
        text, self._new = repair("".join(self._new)), []
        if not text:
            return ()
        self._bytes += len(text.encode())
        if self._bytes > MAX_OUTPUT_BYTES:
            raise OutputTooLarge("The answer is larger than 2 MiB.")
        self._parts.append(text)
        self._length += len(text)
        return (Delta(text),)
