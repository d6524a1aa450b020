"""Server-sent events."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from flask import Response, request

from llm_service.core.access.key_watch import KeyWatch
from llm_service.core.errors import ServiceError
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta
from llm_service.core.generation.subscriptions import Subscription

from ..context import caller, services
from .errors import NotAuthenticated, log_error

log = structlog.get_logger("llm_service")

# How often a silent stream checks that its caller is still connected, and the silence after which it sends a ping.
DISCONNECT_CHECK_S = 2.0
PING_AFTER_S = 8.0
PING = ": ping\n\n"
# Scripts see events, but not comments.
PING_EVENT = "event: ping\ndata: \n\n"
STREAM_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}

_LINE_END = re.compile(r"\r\n|\r|\n")
_LAST_EVENT_ID = re.compile(r"[0-9]{1,12}", re.ASCII)

StreamEvent = Delta | GenerationResult | ServiceError | None


def watch_key() -> KeyWatch:
    """A watch of the caller's key for a stream, which passes it on to `subscription_events` and `sse_response`."""
    return services().keyring.watches.watch(caller().key_id)


def subscription_events(
    subscription: Subscription,
    is_disconnected: Callable[[], bool],
    watch: KeyWatch,
    first: Delta | GenerationResult | None = None,
) -> Iterator[StreamEvent]:
    """The subscription's events after `first`: deltas, then exactly one `GenerationResult` or error.

    None means that a ping is due. Ends early if the caller has disconnected, and with an error if the key is no longer valid.
    """
    watch.interrupts(subscription.interrupt)
    silent_s, event = 0.0, first
    while not isinstance(event, GenerationResult):
        if event is not None:
            silent_s = 0.0
            yield event
        elif silent_s >= PING_AFTER_S:
            silent_s = 0.0
            yield None
        if watch.ended:  # before more text is taken, which would be lost
            log.info("stream ended", reason="key", key_id=watch.key_id)
            yield NotAuthenticated("Your API key was revoked or has expired.")
            return
        try:
            event = subscription.next(DISCONNECT_CHECK_S)
        except ServiceError as error:
            log_error(error)
            yield error
            return
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            yield ServiceError("An unexpected error occurred.")
            return
        if event is None:
            silent_s += DISCONNECT_CHECK_S
            if is_disconnected():
                return
    yield event


def last_event_id() -> int:
    """The number of code points that the caller has received; 0 if the header is not one of our ids."""
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if _LAST_EVENT_ID.fullmatch(value) else 0


def sse_response(
    subscription: Subscription, watch: KeyWatch, events: Iterator[str], headers: dict[str, str] | None = None
) -> Response:
    """The streamed response. It closes the subscription and the watch when it ends, for whatever reason."""
    response = Response(events, headers={**STREAM_HEADERS, **(headers or {})}, content_type="text/event-stream")
    response.call_on_close(watch.close)
    response.call_on_close(subscription.close)
    return response


def html_event(html: str) -> str:
    """An unnamed event. The format has three line endings; each must start a new `data` line, so no text can end the event."""
    return "".join(f"data: {line}\n" for line in _LINE_END.split(html)) + "\n"


def json_event(data: Any, event: str, id: int) -> str:
    """JSON escapes line endings, so this is always one `data` line."""
    return f"event: {event}\nid: {id}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
