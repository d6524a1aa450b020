"""Events that arrive in one read: each counts, and none spoils what came before it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.errors import ServiceError, UpstreamInvalidResponse, UpstreamTruncated
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall, ProviderEvent
from llm_service.core.messages import Message, Role

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(kind: str, **more: Any) -> bytes:
    return b"data: " + json.dumps({"type": kind, **more}).encode() + b"\n\n"


def delta(text: Any) -> bytes:
    return event("response.output_text.delta", delta=text)


COMPLETED = event("response.completed", response={"status": "completed", "model": "m", "output": []})


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """A server that sends its whole response at once. Yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(HEAD + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        thread.join()


def events_of(body: bytes) -> tuple[list[ProviderEvent], ServiceError | None]:
    events: list[ProviderEvent] = []
    with serving(body) as address:
        provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=60)
        call = ProviderCall("m", (Message.of(Role.USER, "Hello"),), {})
        try:
            events += provider.stream(call, CallContext(time.monotonic() + 60, SystemClock()))
        except ServiceError as error:
            return events, error
        finally:
            provider.close()
    return events, None


def test_deltas_become_one() -> None:
    events, error = events_of(delta("He") + delta("llo") + COMPLETED)
    assert error is None
    assert events[0] == Delta("Hello")
    assert isinstance(events[1], Done)
    assert events[1].text == "Hello"


@pytest.mark.parametrize(
    "trailer",
    [
        b'data: {"type": "x", "delta": "\xff"}\n\n',
        b"data: {bad\n\n",
        b"data: [1]\n\n",
        b"data: [DONE] \n\n",
        b"data:\n\n",
        b"data: [DONE]\n\n",
    ],
)
def test_what_follows_the_end_does_not_matter(trailer: bytes) -> None:
    events, error = events_of(delta("paid text") + COMPLETED + trailer)
    assert error is None
    assert isinstance(events[-1], Done)
    assert events[-1].text == "paid text"


DEEP = b'data: {"type": "x", "u": ' + b"[" * 5000 + b"]" * 5000 + b"}\n\n"
TWO = b"data: " + delta("a")[6:-2] + b"," + delta("b")[6:-2] + b"\n\n"


@pytest.mark.parametrize(
    "bad",
    [
        TWO,
        b'data: {"type": "x"\n\ndata: "y": 1}\n\n',
        b"data: {bad\n\n",
        b"data: [1]\n\n",
        b"data: \xff\n\n",
        delta(5),
        delta(None),
    ],
)
def test_the_text_before_a_bad_event_is_kept(bad: bytes) -> None:
    events, error = events_of(delta("paid ") + delta("text") + bad + COMPLETED)
    assert events == [Delta("paid text")]
    assert isinstance(error, UpstreamInvalidResponse)


def test_a_mark_of_the_end_is_no_event() -> None:
    events, error = events_of(delta("cut") + b"data: [DONE]\n\n")
    assert events == [Delta("cut")]
    assert isinstance(error, UpstreamTruncated)
