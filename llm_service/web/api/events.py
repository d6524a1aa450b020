"""A generation as an event stream: `start`, `delta`s, and one `done` or `error`."""

from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

from flask import Response, request

from llm_service.core.errors import ServiceError
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta, Generation
from llm_service.core.generation.subscriptions import Subscription

from ..http.connection import disconnect_check
from ..http.errors import NotAuthenticated, problem_document
from ..http.sse import PING, StreamEvent, json_event, sse_response, subscription_events, watch_key
from ..schemas.generation import generation_json

# `start` is sent with the first upstream event, or after this time.
MAX_START_DELAY_S = 2.0


def stream_generation(subscription: Subscription, headers: dict[str, str]) -> Response:
    """Stream from the start. An error before the first event is raised and keeps its HTTP status."""
    try:
        first = subscription.next(MAX_START_DELAY_S)
    except BaseException:
        subscription.close()
        raise
    return _stream(subscription, first, start=True, headers=headers)


def join_generation(subscription: Subscription) -> Response:
    """Stream from the subscription's position; `start` is sent only to callers without a `Last-Event-ID`.

    204 to those who have had all of it: an EventSource connects again after every end, until it gets this status.
    """
    if subscription.nothing_left:
        subscription.close()
        return Response(status=204)
    return _stream(subscription, None, start="Last-Event-ID" not in request.headers)


def _stream(
    subscription: Subscription,
    first: Delta | GenerationResult | None,
    *,
    start: bool,
    headers: dict[str, str] | None = None,
) -> Response:
    # Read now: the request context is gone when the stream runs.
    watch = watch_key()
    events = subscription_events(subscription, disconnect_check(), watch, first)
    return sse_response(subscription, watch, _events(subscription, events, start, request.path), headers)


def _events(subscription: Subscription, events: Iterator[StreamEvent], start: bool, path: str) -> Iterator[str]:
    if start:
        yield json_event(_start(subscription.generation), "start", 0)
    for event in events:
        if isinstance(event, Delta):
            # Formatted by hand: this line runs for every token of every stream.
            yield f'event: delta\nid: {subscription.position}\ndata: {{"text": {encode_basestring(event.text)}}}\n\n'
        elif isinstance(event, GenerationResult):
            yield json_event(generation_json(event.generation), "done", subscription.position + 1)
        elif isinstance(event, ServiceError):
            problem = problem_document(event, path, subscription.generation.request_id)
            # The end of the generation is one position more; without the key, the stream ends before.
            ends = 0 if isinstance(event, NotAuthenticated) else 1
            yield json_event(problem, "error", subscription.position + ends)
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
