"""A generation as the API's event stream: `start`, `delta`s, and one `done` or `error`."""

import json
import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from llm_service.core.errors import ServiceError
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta, Generation
from llm_service.core.generation.subscriptions import Subscription

from ..http.connection import caller_gone
from ..http.errors import problem_document
from ..http.sse import PING, StreamEvent, event_stream, json_message, stream_events
from ..schemas.generation import generation_json

# `start` goes out with the first upstream event, and at the latest after this.
START_S = 2.0
_LAST_EVENT_ID = re.compile(r"[0-9]{1,12}", re.ASCII)


def stream_generation(subscription: Subscription, headers: dict[str, str]) -> Response:
    """From the beginning. What fails before the first event raises, and so keeps its HTTP status."""
    try:
        first = subscription.next(START_S)
    except BaseException:
        subscription.close()
        raise
    return event_stream(subscription, _stream(subscription, first, start=True), headers)


def join_generation(subscription: Subscription) -> Response:
    """From the listener's position on; `start` comes only to those who have nothing yet."""
    return event_stream(subscription, _stream(subscription, None, start="Last-Event-ID" not in request.headers))


def last_event_id() -> int:
    """The code points that the caller has already; 0 where the header is not one of our ids."""
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if _LAST_EVENT_ID.fullmatch(value) else 0


def _stream(subscription: Subscription, first: Delta | GenerationResult | None, *, start: bool) -> Iterator[str]:
    # Taken now: the request is over when the stream runs.
    return _events(subscription, stream_events(subscription, caller_gone(), first), start, request.path)


def _events(subscription: Subscription, heard: Iterator[StreamEvent], start: bool, path: str) -> Iterator[str]:
    if start:
        yield json_message(_start(subscription.generation), "start", 0)
    for event in heard:
        if isinstance(event, Delta):
            # json.dumps by itself: this line runs for every token of every stream.
            yield f'event: delta\nid: {subscription.position}\ndata: {{"text": {json.dumps(event.text, ensure_ascii=False)}}}\n\n'
        elif isinstance(event, GenerationResult):
            yield json_message(generation_json(event.generation), "done", subscription.position + 1)
        elif isinstance(event, ServiceError):
            problem = problem_document(event, path, subscription.generation.request_id)
            yield json_message(problem, "error", subscription.position + 1)
        else:
            yield PING


def _start(generation: Generation) -> dict[str, Any]:
    return {
        "request_id": generation.request_id,
        "template_id": generation.template_id,
        "template_revision": generation.template_revision,
        "model": generation.model,
        "cached": generation.cached,
    }
