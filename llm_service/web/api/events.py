"""A generation as the API's event stream: `start`, `delta`s, and one `done` or `error`."""

import json
import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from llm_service.core.errors import ServiceError
from llm_service.core.listeners import Listener
from llm_service.core.model import Delta, Generation
from llm_service.core.runs import Finished

from ..caller import caller_gone
from ..errors import problem_document
from ..representation import answer_json
from ..streaming import PING, Happening, event_stream, happenings, json_message

# `start` goes out with the first upstream event, and at the latest after this.
START_S = 2.0
_LAST_EVENT_ID = re.compile(r"[0-9]{1,12}", re.ASCII)


def stream_generation(listener: Listener, headers: dict[str, str]) -> Response:
    """From the beginning. What fails before the first event raises, and so keeps its HTTP status."""
    try:
        first = listener.next(START_S)
    except BaseException:
        listener.close()
        raise
    return event_stream(listener, _stream(listener, first, start=True), headers)


def join_generation(listener: Listener) -> Response:
    """From the listener's position on; `start` comes only to those who have nothing yet."""
    return event_stream(listener, _stream(listener, None, start="Last-Event-ID" not in request.headers))


def last_event_id() -> int:
    """The code points that the caller has already; 0 where the header is not one of our ids."""
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if _LAST_EVENT_ID.fullmatch(value) else 0


def _stream(listener: Listener, first: Delta | Finished | None, *, start: bool) -> Iterator[str]:
    # Taken now: the request is over when the stream runs.
    return _events(listener, happenings(listener, caller_gone(), first), start, request.path)


def _events(listener: Listener, heard: Iterator[Happening], start: bool, path: str) -> Iterator[str]:
    if start:
        yield json_message(_start(listener.generation), "start", 0)
    for event in heard:
        if isinstance(event, Delta):
            # json.dumps by itself: this line runs for every token of every stream.
            yield f'event: delta\nid: {listener.position}\ndata: {{"text": {json.dumps(event.text, ensure_ascii=False)}}}\n\n'
        elif isinstance(event, Finished):
            yield json_message(answer_json(event.generation), "done", listener.position + 1)
        elif isinstance(event, ServiceError):
            problem = problem_document(event, path, listener.generation.request_id)
            yield json_message(problem, "error", listener.position + 1)
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
