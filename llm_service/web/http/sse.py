"""Answers as server-sent events."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from flask import Response

from llm_service.core.errors import ServiceError
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta
from llm_service.core.generation.subscriptions import Subscription

from .connection import bound_writes
from .errors import report

log = structlog.get_logger("llm_service")

# How often a silent stream's caller is looked after, and after how much silence it gets a ping.
LOOK_S = 2.0
PING_S = 8.0
PING = ": ping\n\n"
HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}

_LINE_END = re.compile(r"\r\n|\r|\n")

StreamEvent = Delta | GenerationResult | ServiceError | None


def stream_events(
    subscription: Subscription, gone: Callable[[], bool], first: Delta | GenerationResult | None = None
) -> Iterator[StreamEvent]:
    """What the listener hears, with `first` before: texts, then exactly one `GenerationResult` or error.

    None where a ping is due. Ends without more where the caller is gone.
    """
    silent_s, event = 0.0, first
    while not isinstance(event, GenerationResult):
        if event is not None:
            silent_s = 0.0
            yield event
        elif silent_s >= PING_S:
            silent_s = 0.0
            yield None
        try:
            event = subscription.next(LOOK_S)
        except ServiceError as error:
            report(error)
            yield error
            return
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            yield ServiceError("The service met an error that it did not expect.")
            return
        if event is None:
            silent_s += LOOK_S
            if gone():
                return
    yield event


def event_stream(subscription: Subscription, events: Iterator[str], headers: dict[str, str] | None = None) -> Response:
    """The response; it closes the listener when it ends, however it does."""
    bound_writes()
    response = Response(events, headers={**HEADERS, **(headers or {})}, content_type="text/event-stream")
    response.call_on_close(subscription.close)
    return response


def message(html: str) -> str:
    """One unnamed event. All three line ends of the format begin a new line of data: none in a text may end it."""
    return "".join(f"data: {line}\n" for line in _LINE_END.split(html)) + "\n"


def json_message(data: Any, event: str, id: int) -> str:
    """JSON has no line ends of its own, so that this is one line of data."""
    return f"event: {event}\nid: {id}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
