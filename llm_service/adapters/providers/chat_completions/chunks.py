"""Decodes the chunks of chat completions: what is read of them, and no more."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from llm_service.core.errors import UpstreamInvalidResponse

from ..openai_api.reported import keeps_alive, names_an_error, value_of


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
    status: Any = None
    message: Any = None
    detail: Any = None


_DECODER = msgspec.json.Decoder(list[Chunk])


def decoded(data: Sequence[bytes], names: Callable[[], Sequence[str]]) -> Iterable[Chunk]:
    """All in one call; or one by one, if one of them is not as usual. `names`: gives the names of their events."""
    try:
        chunks = _DECODER.decode(b"[%b]" % b",".join(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        chunks = []
    return chunks if len(chunks) == len(data) else _one_by_one(data, names())


def _one_by_one(data: Sequence[bytes], names: Sequence[str]) -> Iterator[Chunk]:
    for text, name in zip(data, names, strict=False):
        if keeps_alive(text, name):
            yield Chunk()
            continue
        value = value_of(text, name)
        yield Chunk(error=value or name) if names_an_error(name) and not isinstance(value, dict) else chunk_of(value)


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
