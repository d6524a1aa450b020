"""Writes calls for the Responses API, and reads its events."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llm_service.core.errors import ServiceError, UpstreamInvalidResponse, UpstreamTruncated
from llm_service.core.generation.model import Billed, ProviderCall, ProviderEvent

from ..openai_api.body import drain, event_data, json_body, media_type, not_an_api
from ..openai_api.quirks import Quirks
from ..openai_api.strict_schema import strict_schema
from .answer import Answer, usage_of

if TYPE_CHECKING:
    from ..transport import Response

# The API's names of the options.
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_output_tokens"}
_TEXT_DELTA = "response.output_text.delta"
_REFUSAL_DELTA = "response.refusal.delta"
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class ResponsesWire:
    """Satisfies `Wire`."""

    kind = "responses"
    path = "/responses"

    def body(self, call: ProviderCall, quirks: Quirks, *, own_address: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"model": call.model, "input": call.user_prompt, "store": False, "stream": True}
        if call.system_prompt:
            body["instructions"] = call.system_prompt
        if call.output:
            schema = strict_schema(call.output.schema)
            body["text"] = {
                "format": {"type": "json_schema", "name": call.output.name, "strict": True, "schema": schema}
            }
        if own_address:
            body["stream_options"] = {"include_obfuscation": False}
        return {**body, **{_OPTIONS[name]: value for name, value in call.options.items()}}

    def reader(self, call: ProviderCall, quirks: Quirks, *, idle_timeout_s: float) -> "ResponsesReader":
        return ResponsesReader(call, idle_timeout_s)


class ResponsesReader:
    """Satisfies `AnswerReader`."""

    def __init__(self, call: ProviderCall, idle_timeout_s: float) -> None:
        self._call = call
        self._idle_timeout_s = idle_timeout_s
        self._answer = Answer()

    @property
    def started(self) -> bool:
        return self._answer.started

    def read(self, response: "Response") -> Iterator[ProviderEvent]:
        answer, received, ours = self._answer, _events(response), False
        for events in received:
            try:
                for event in events:
                    if event.type == _TEXT_DELTA:
                        answer.add(event.delta)
                    elif event.type in _TERMINAL:
                        yield from answer.new_text()
                        try:
                            last = answer.finish(event.response, self._call.model, response.header(b"x-request-id"))
                        except ServiceError:
                            yield Billed(usage_of(event.response))
                            raise
                        drain(response, received)
                        yield from last
                        return
                    elif event.type == _REFUSAL_DELTA:
                        answer.refused = True
                        answer.add(event.delta)
                    else:
                        ours |= _is_ours(event)
            except Exception:
                yield from answer.new_text()  # keep the text that arrived before the error
                raise
            if answer.has_new_text:
                # What arrived together is passed on together.
                response.limit.idle_s = self._idle_timeout_s
                yield from answer.new_text()
        raise _cut() if ours or answer.started else _foreign()


class _Event(msgspec.Struct):
    """What is read of an event; `code` and `error` are an error's."""

    type: Any = None
    delta: Any = None
    response: Any = None
    code: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(list[_Event])


def _events(response: "Response") -> Iterator[Iterable[_Event]]:
    """The body's events, those that arrive together at once.

    A server that does not stream gives only the terminal event.
    """
    media = media_type(response)
    if media == "application/json":
        whole = json_body(response)
        if not isinstance(whole, dict):
            raise UpstreamInvalidResponse("The model provider sent JSON that is not a response.")
        if not isinstance(whole.get("status"), str):
            raise UpstreamInvalidResponse.foreign("The model provider sent JSON that is not a response.")
        yield [_Event(type=f"response.{whole['status']}", response=whole)]
        return
    if media != "text/event-stream":
        raise not_an_api(media, "Responses API")
    for data in event_data(response):
        yield _decoded(data)


def _is_ours(event: _Event) -> bool:
    """Whether an event without text is one of this API. Raises the error that it tells."""
    if event.type == "error":
        from ..openai_api.errors import from_error_object

        raise from_error_object({"code": event.code, "error": event.error})
    return isinstance(event.type, str) and event.type.startswith("response.")


def _cut() -> UpstreamTruncated:
    return UpstreamTruncated("The model provider's answer ended before it was complete.")


def _foreign() -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse.foreign("The model provider sent a stream that is not one of the Responses API.")


def _decoded(data: Sequence[bytes]) -> Iterable[_Event]:
    """All in one call; or one by one, if one of them is not as usual: what follows the terminal event need not be valid."""
    try:
        events = _DECODER.decode(b"[%b]" % b",".join(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        events = []
    return events if len(events) == len(data) else (_event(text) for text in data if text != b"[DONE]")


def _event(data: bytes) -> _Event:
    event = json.loads(data)  # more lenient: half a surrogate pair, NaN
    if not isinstance(event, dict):
        raise UpstreamInvalidResponse("The model provider sent an event that is not an object.")
    return _Event(**{name: event[name] for name in _Event.__struct_fields__ if name in event})
