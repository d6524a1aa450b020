"""Reads the body of an answer, in whatever way a server sends it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_service.core.errors import OutputTooLarge, UpstreamInvalidResponse

from ..sse import EventParser

if TYPE_CHECKING:
    from ..transport import Response

MAX_JSON_BODY_BYTES = 16 * 1024 * 1024
# After the terminal event: how long to wait for the end of the body. Then the connection can be reused.
DRAIN_S = 0.05


def media_type(response: "Response") -> str:
    return response.header(b"content-type").partition(";")[0].strip().lower()


def event_data(response: "Response") -> Iterator[Sequence[bytes]]:
    """The data of the events of a stream, those that arrive together at once."""
    parser = EventParser()
    for chunk in _chunks(response):
        if data := parser.feed(chunk):
            yield data


def json_body(response: "Response") -> Any:
    """The whole body as JSON. Raises `ValueError` or `OutputTooLarge`."""
    body = b""
    for chunk in _chunks(response):
        body += chunk
        if len(body) > MAX_JSON_BODY_BYTES:
            raise OutputTooLarge("The model provider's answer is too large.")
    return json.loads(body)


def not_an_api(media: str, api: str) -> UpstreamInvalidResponse:
    """The error for an answer that is neither JSON nor a stream."""
    shown = media if media.replace("/", "").replace("-", "").isalnum() and len(media) < 60 else "another type"
    return UpstreamInvalidResponse.foreign(f"The model provider's address answered with {shown}, which is not a {api}.")


def drain(response: "Response", received: Iterator[Any]) -> None:
    """Read to the end of the body, to reuse the connection. The answer is already complete."""
    response.limit.idle_s = DRAIN_S
    with suppress(Exception):
        for _ in received:
            pass


def _chunks(response: "Response") -> Iterator[bytes]:
    """The body, decompressed if a server compressed it although it was asked not to."""
    return response.for_httpx().iter_bytes() if response.header(b"content-encoding") else iter(response)
