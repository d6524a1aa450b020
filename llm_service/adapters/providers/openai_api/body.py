"""Reads the body of an answer, in whatever way a server sends it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from llm_service.core.errors import OutputTooLarge

from ..sse import EventParser
from .foreign import NOTHING, not_an_api
from .reported import says_something

if TYPE_CHECKING:
    from ..transport import Response

MAX_JSON_BODY_BYTES = 16 * 1024 * 1024
# After the terminal event: how long to wait for the end of the body. Then the connection can be reused.
DRAIN_S = 0.05
_EVENTS, _JSON, _HTML = "text/event-stream", "application/json", "text/html"
_NAME = b"event:"
# A body's beginning says what it is: `{` and `[`, `<`, or the name of a field of an event.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
_ENOUGH_BYTES = max(len(field) for field in _FIELDS)
_OF_ERRORS = ("error", "code", "detail")
_SPACE = b" \t\r\n\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonBody:
    """The whole answer at once."""

    value: Any


class EventStream:
    """Yields the data of the events, those that arrive together at once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._parser = EventParser()

    def names(self) -> Sequence[str]:
        """The names of the events that were yielded last, empty where there is none."""
        return [line.removeprefix(_NAME).strip().decode("utf-8", "replace") for line in self._parser.names()]

    def error(self) -> Any:
        """An error that is no event, told where the stream ended; None if there is none.

        It is in a line of its own: `error: {"code": 500}`, or `{"error": {"code": 500}}`.
        """
        with suppress(ValueError):
            if field := self._parser.last_field(b"error"):
                told = json.loads(field)
                return told if says_something(told) else None
            told = json.loads(self._parser.last_object() or b"{}")
            return told if any(says_something(told.get(name)) for name in _OF_ERRORS) else None
        return None

    def __iter__(self) -> Iterator[Sequence[bytes]]:
        feed = self._parser.feed
        for chunk in self._chunks:
            if data := feed(chunk):
                yield data
        if data := self._parser.end():
            yield data


def answer_body(response: "Response", kind: str) -> EventStream | JsonBody:
    """The body of an answer: what its beginning says that it is, or else its Content-Type. `kind`: that of the wire.

    Raises `ValueError` for invalid JSON, `OutputTooLarge`, or the error for a body that is neither.
    """
    chunks = _chunks(response)
    media = response.header(b"content-type").partition(";")[0].strip().lower()
    beginning = _beginning(chunks)
    if not beginning:
        raise not_an_api(NOTHING, kind)
    form = _form(beginning, media)
    if form == _EVENTS:
        return EventStream(chain((beginning,), chunks))
    if form == _JSON:
        return JsonBody(_json(chain((beginning,), chunks)))
    raise not_an_api(form, kind)


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """Enough of the body to see what it is, or all of it; white space before it means nothing."""
    beginning = b""
    for chunk in chunks:
        beginning = (beginning + chunk).lstrip(_SPACE)
        if len(beginning) >= _ENOUGH_BYTES:
            break
    return beginning


def _form(beginning: bytes, media: str) -> str:
    if beginning.startswith((b"{", b"[")):
        return media if "ndjson" in media else _JSON
    if beginning.startswith(b"<"):
        return _HTML
    return _EVENTS if beginning.startswith(_FIELDS) else media


def _json(chunks: Iterable[bytes]) -> Any:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_JSON_BODY_BYTES:
            raise OutputTooLarge("The model provider's answer is too large.")
    return json.loads(body)


def drain(response: "Response", received: Iterable[Any]) -> None:
    """Read to the end of the body, to reuse the connection. The answer is already complete."""
    response.limit.idle_s = DRAIN_S
    with suppress(Exception):
        for _ in received:
            pass


def _chunks(response: "Response") -> Iterator[bytes]:
    """The body, decompressed if a server compressed it although it was asked not to."""
    return response.for_httpx().iter_bytes() if response.header(b"content-encoding") else iter(response)
