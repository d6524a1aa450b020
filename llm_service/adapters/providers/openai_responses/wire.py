"""Writes calls for the Responses API, and reads its events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from llm_service.core.errors import ServiceError, UpstreamTruncated
from llm_service.core.generation.model import ProviderCall, ProviderEvent

from ..openai_api.body import EventStream, JsonBody, answer_body, drain
from ..openai_api.foreign import RESPONSES_KIND, another_api, no_answer_of_ours
from ..openai_api.quirks import Quirks
from ..openai_api.reported import http_status, names_an_error, says_something
from ..openai_api.schema_prompt import system_text
from ..openai_api.strict_schema import strict_schema
from .answer import Answer
from .events import Event, decoded
from .items import messages_in

if TYPE_CHECKING:
    from ..transport import Response

# The API's names of the options.
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_output_tokens"}
_ENDED = ("completed", "incomplete", "failed", "cancelled")
_TERMINAL = frozenset(f"response.{status}" for status in _ENDED)
_FAILED = ("failed", "cancelled")
# How long to wait for the reason of a failure that was told without one.
REASON_S = 1.0
_HANDLERS = {
    "response.refusal.delta": Answer.take_refusal,
    "response.output_item.added": Answer.begin_item,
    "response.output_text.done": Answer.end_part,
    "response.refusal.done": Answer.end_part,
    "response.content_part.done": Answer.end_part,
    "response.output_item.done": Answer.end_item,
    "response.reasoning_text.delta": Answer.take_thought,
    "response.reasoning_summary_text.delta": Answer.take_thought,
}


class ResponsesWire:
    """Satisfies `Wire`."""

    kind = RESPONSES_KIND
    path = "/responses"
    key_header = ""

    def body(self, call: ProviderCall, quirks: Quirks, *, own_address: bool) -> dict[str, Any]:
        # A list: a server read a string letter by letter. Its content is a string: a server ignored a list there.
        messages = [{"role": "user", "content": call.user_prompt}]
        body: dict[str, Any] = {"model": call.model, "input": messages, "store": False, "stream": True}
        if instructions := system_text(call, schema_in_prompt=quirks.schema_in_prompt):
            body["instructions"] = instructions
        if call.output:
            schema = strict_schema(call.output.schema)
            body["text"] = {
                "format": {"type": "json_schema", "name": call.output.name, "strict": True, "schema": schema}
            }
        if own_address:
            body["stream_options"] = {"include_obfuscation": False}
        return {**body, **{_OPTIONS[name]: value for name, value in call.options.items()}}

    def reader(self, call: ProviderCall, quirks: Quirks, *, idle_timeout_s: float) -> "ResponsesReader":
        return ResponsesReader(call, quirks, idle_timeout_s, self.kind)


class ResponsesReader:
    """Satisfies `AnswerReader`. `kind`: that of the wire."""

    def __init__(self, call: ProviderCall, quirks: Quirks, idle_timeout_s: float, kind: str = RESPONSES_KIND) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._kind = kind
        self._answer = Answer(call, quirks)
        # Whether anything that arrived is of this API.
        self._known = False

    @property
    def started(self) -> bool:
        return self._answer.started

    def read(self, response: "Response") -> Iterator[ProviderEvent]:
        body = answer_body(response, self._kind)
        if isinstance(body, JsonBody):
            yield from self._end(self._terminal_event(body.value), response, ())
            return
        answer, received = self._answer, iter(body)
        for data in received:
            try:
                events = enumerate(decoded(data, body.names))
                while (other := answer.take_text(events)) is not None:
                    number, event = other
                    if event.type in _TERMINAL:
                        yield from answer.new_text()
                        rest = (event for _, event in events)
                        later = chain(rest, (event for data in received for event in decoded(data, body.names)))
                        yield from self._end(event, response, received, later)
                        return
                    self._take_other(event, body, number)
            except Exception as error:
                yield from answer.new_text()  # keep the text that arrived before the error
                if isinstance(error, ServiceError):
                    error.may_be_billed |= answer.thought
                raise
            if answer.has_new_text:
                # What arrived together is passed on together.
                response.limit.idle_s = self._idle_timeout_s
                yield from answer.new_text()
        yield from answer.new_text()
        raise self._unended(body)

    def _unended(self, body: EventStream) -> ServiceError:
        """The error of a stream that ended without a terminal event."""
        if (told := body.error()) is not None:
            return _error_of(told, self._kind)
        if not self._known and not self._answer.started:
            return no_answer_of_ours(self._kind)
        return UpstreamTruncated("The model provider's answer ended before it was complete.")

    def _take_other(self, event: Event, body: EventStream, number: int) -> None:
        """An event that is neither text nor the last one. Those that nobody knows mean nothing."""
        if says_something(event.error):
            raise _told_error(event, "", self._kind)
        if (handle := _HANDLERS.get(event.type)) is not None:
            self._known = True
            handle(self._answer, event)
        elif names_an_error(event.type) or event.object == "error":
            raise _told_error(event, "", self._kind)
        elif event.type.startswith("response."):
            self._known = True
            if event.type.startswith("response.reasoning"):
                self._answer.take_thought(event)
        elif names_an_error(name := body.names()[number]):
            raise _told_error(event, name, self._kind)
        elif not self._known and _is_of_another_api(event.choices, event.object):
            raise another_api(self._kind)
        elif not event.type and _is_an_error_itself(event):
            raise _told_error(event, "", self._kind)

    def _end(
        self,
        event: Event,
        response: "Response",
        received: Iterable[Sequence[bytes]],
        later: Iterable[Event] = (),
    ) -> Iterator[ProviderEvent]:
        """`later`: the events after this one."""
        try:
            if event.type.removeprefix("response.") in _FAILED or _failed(event.response):
                raise _told_error(event if _tells_why(event) else _reason_after(event, later, response), "", self._kind)
            last = self._answer.finish(event.response, event.type, response.header(b"x-request-id"))
        except ServiceError:
            if billed := self._answer.billed(event.response):
                yield billed
            raise
        drain(response, received)
        yield from last

    def _terminal_event(self, body: Any) -> Event:
        """The last event of a server that does not stream: the whole response."""
        value = body if isinstance(body, dict) else {}
        status = _status_of(value)
        if status in _ENDED:
            return Event(f"response.{status}", response=value)
        is_error = value.get("error") or value.get("object") == "error" or _has_a_status(value.get("code"), status)
        if is_error or _is_list_of_errors(body):
            raise _error_of(body, self._kind)
        if _is_of_another_api(value.get("choices"), value.get("object")):
            raise another_api(self._kind)
        raise no_answer_of_ours(self._kind, "JSON")


def _status_of(response: Mapping[str, Any]) -> Any:
    """The status of a whole response. One that has a text and has not ended cannot be asked for again: it is incomplete."""
    status, output = response.get("status"), response.get("output")
    if status is None:
        return "completed" if isinstance(output, list) or isinstance(response.get("output_text"), str) else None
    if status not in _ENDED and any(message.text for message in messages_in(output, strip_think=False)):
        return "incomplete"
    return status


def _is_an_error_itself(event: Event) -> bool:
    """Whether an event without a type is an error: `{"code": 429}`, `{"detail": ...}`."""
    code = event.code
    return bool(event.detail) or (isinstance(code, str) and code != "") or _has_a_status(code, event.status)


def _has_a_status(*values: Any) -> bool:
    """Whether one of them is the number of an HTTP error."""
    return any(http_status(value) is not None for value in values)


def _failed(response: Any) -> bool:
    """Whether a response says that it failed, whatever its event calls it."""
    return isinstance(response, dict) and (response.get("status") in _FAILED or says_something(response.get("error")))


def _tells_why(event: Event) -> bool:
    return bool(event.error or event.code or (isinstance(event.response, dict) and event.response.get("error")))


def _reason_after(failed: Event, later: Iterable[Event], response: "Response") -> Event:
    """The event that tells why a response failed: Azure sends it after the one that only says so."""
    response.limit.idle_s = REASON_S
    with suppress(Exception):  # what follows the last event need not be valid, nor come
        return next((event for event in later if event.error or event.type == "error"), failed)
    return failed


def _error_of(told: Any, kind: str, name: str = "") -> ServiceError:
    from ..openai_api.errors import from_error_object  # imports the SDK, which takes half a second

    return from_error_object(told, name, kind=kind)


def _told_error(event: Event, name: str, kind: str) -> ServiceError:
    told = event.response.get("error") if isinstance(event.response, dict) else None
    kind_of_error = None if event.type.startswith("response.") or event.type == "error" else event.type
    flat = {"code": event.code, "message": event.message, "param": event.param, "status": event.status}
    flat["detail"] = event.detail
    return _error_of({"error": event.error or told, **flat, "type": kind_of_error}, kind, name)


def _is_of_another_api(choices: Any, name: Any) -> bool:
    return choices is not None or (isinstance(name, str) and name.startswith(("chat.completion", "text_completion")))


def _is_list_of_errors(body: Any) -> bool:
    return isinstance(body, list) and any(isinstance(entry, dict) and entry.get("error") for entry in body[:1])
