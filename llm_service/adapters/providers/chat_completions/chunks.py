"""Decodes the chunks of chat completions: what is read of them, and no more."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from llm_service.core.errors import UpstreamInvalidResponse


class Message(msgspec.Struct, gc=False):
    """A delta, or a whole message.

    `content`: text, or parts of it. `reasoning_content`, `reasoning`: thoughts, as DeepSeek and as OpenRouter call them.
    """

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers; only the first is asked for."""

    index: Any = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: Any = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream, or a whole completion. Below `usage` is what only errors and other APIs have."""

    choices: list[Choice] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    code: Any = None
    message: Any = None
    detail: Any = None


_DECODER = msgspec.json.Decoder(list[Chunk])


def decoded(data: Sequence[bytes]) -> Iterable[Chunk]:
    """All in one call; or one by one, if one of them is not as usual."""
    try:
        chunks = _DECODER.decode(b"[%b]" % b",".join(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        chunks = []
    return chunks if len(chunks) == len(data) else (chunk_of(json.loads(text)) for text in data)


def chunk_of(value: Any) -> Chunk:
    """A chunk from any JSON. Python's parser read it, which is more lenient: half a surrogate pair, NaN."""
    chunk = Chunk(**_fields(value, Chunk))
    if chunk.choices is not None:
        chunk.choices = [_choice(choice) for choice in chunk.choices]
    return chunk


def _choice(value: Any) -> Choice:
    choice = Choice(**_fields(value, Choice))
    for name in ("delta", "message"):
        part = getattr(choice, name)
        setattr(choice, name, None if part is None else Message(**_fields(part, Message)))
    return choice


def _fields(value: Any, struct: type[msgspec.Struct]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UpstreamInvalidResponse("The model provider sent a chunk that is not an object.")
    return {name: value[name] for name in struct.__struct_fields__ if name in value}
