"""The OpenAI Responses API, or any server that supports it, through the `openai` SDK.

The SDK provides the address, the key and the headers. An answer is complete only after a terminal event.
One deadline covers the whole call, nothing is retried or redirected, and the provider is asked to store nothing. Our
own parser reads the events, with a sixth of the CPU time of the SDK's typed ones. Importing `openai` takes half a
second, so it is imported after the server listens (`warm`).
"""

import json
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from llm_service.core.errors import (
    DeadlineExceeded,
    OutputTooLarge,
    ServiceError,
    UpstreamAuth,
    UpstreamInvalidResponse,
    UpstreamProxy,
    UpstreamQuota,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, ProviderCall, ProviderEvent

from ..names import Resolve, system_addresses
from ..proxies import Proxy
from ..sse import EventParser
from .answer import Answer, usage_of
from .strict_schema import strict_schema

if TYPE_CHECKING:
    from ..transport import Response
    from .client import ResponsesClient

MAX_JSON_BODY_BYTES = 16 * 1024 * 1024
# After the terminal event: how long to wait for the end of the body. Then the connection can be reused.
DRAIN_S = 0.05
# The API's names of the options.
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_output_tokens"}
_TEXT_DELTA = "response.output_text.delta"
_REFUSAL_DELTA = "response.refusal.delta"
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
# Errors that persist until an operator acts; the readiness check shows them.
_LASTING = (UpstreamAuth, UpstreamProxy, UpstreamQuota, UpstreamTls, UpstreamRedirect)


class _Event(msgspec.Struct):
    """What is read of an event; `code` and `error` are an error's."""

    type: Any = None
    delta: Any = None
    response: Any = None
    code: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(list[_Event])


class OpenAIProvider:
    """One client per process, created on the first call or by `warm`. `base_url` None = OpenAI's own address."""

    name = "openai"

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        idle_timeout_s: float,
        proxy: Proxy | None = None,
        resolve: Resolve = system_addresses,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._proxy = proxy
        self._resolve = resolve
        self._idle_timeout_s = idle_timeout_s
        self._client: ResponsesClient | None = None
        self._lock = threading.Lock()
        self._trouble: str | None = None

    @property
    def identity(self) -> str:
        return f"openai:{self._base_url or ''}"

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        from .errors import from_exception

        answer, began = Answer(), False
        try:
            with closing(self._post(call, context)) as response:
                began = True
                yield from self._read(response, call, answer)
        except Exception as error:
            mapped = from_exception(error)
            if isinstance(mapped, UpstreamTimeout) and answer.started and time.monotonic() >= context.deadline:
                mapped = DeadlineExceeded("The answer took longer than a generation may take.")
            elif began and isinstance(mapped, UpstreamUnreachable):
                mapped = UpstreamTruncated(
                    "The connection to the model provider was lost before the answer was complete."
                )
            self._trouble = mapped.detail if isinstance(mapped, _LASTING) else self._trouble
            if mapped is error:
                raise
            raise mapped from error

    @property
    def warmed(self) -> bool:
        return self._client is not None

    def warm(self) -> None:
        self._ready_client()

    def health_error(self) -> str | None:
        return self._trouble

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _ready_client(self) -> "ResponsesClient":
        from .client import ResponsesClient

        with self._lock:
            if self._client is None:
                self._client = ResponsesClient(
                    api_key=self._api_key, base_url=self._base_url, proxy=self._proxy, resolve=self._resolve
                )
            return self._client

    def _post(self, call: ProviderCall, context: CallContext) -> "Response":
        body = {**_request_body(call), **({} if self._base_url else {"stream_options": {"include_obfuscation": False}})}
        return self._ready_client().post(body, context, max(context.deadline - time.monotonic(), 0.001))

    def _read(self, response: "Response", call: ProviderCall, answer: "Answer") -> Iterator[ProviderEvent]:
        received = _events(response)
        for events in received:
            try:
                for event in events:
                    if event.type == _TEXT_DELTA:
                        answer.add(event.delta)
                    elif event.type in _TERMINAL:
                        yield from answer.new_text()
                        try:
                            last = answer.finish(event.response, call.model, response.header(b"x-request-id"))
                        except ServiceError:
                            yield Billed(usage_of(event.response))
                            raise
                        response.limit.idle_s = DRAIN_S
                        _drain(received)
                        self._trouble = None
                        yield from last
                        return
                    elif event.type == _REFUSAL_DELTA:
                        answer.refused = True
                        answer.add(event.delta)
                    elif event.type == "error":
                        from .errors import from_error_object

                        raise from_error_object({"code": event.code, "error": event.error})
            except Exception:
                yield from answer.new_text()  # keep the text that arrived before the error
                raise
            if answer.has_new_text:
                # What arrived together is passed on together.
                response.limit.idle_s = self._idle_timeout_s
                yield from answer.new_text()
        raise UpstreamTruncated("The model provider's answer ended before it was complete.")


def _request_body(call: ProviderCall) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.model, "input": call.user_prompt, "store": False, "stream": True}
    if call.system_prompt:
        body["instructions"] = call.system_prompt
    if call.output:
        schema = strict_schema(call.output.schema)
        body["text"] = {"format": {"type": "json_schema", "name": call.output.name, "strict": True, "schema": schema}}
    return {**body, **{_OPTIONS[name]: value for name, value in call.options.items()}}


def _events(response: "Response") -> Iterator[Iterable[_Event]]:
    """The body's events, those that arrive together at once.

    A server that does not stream gives only the terminal event.
    """
    media = response.header(b"content-type").partition(";")[0].strip().lower()
    if media == "application/json":
        whole = json.loads(_read_bounded(response))
        if not isinstance(whole, dict) or not isinstance(whole.get("status"), str):
            raise UpstreamInvalidResponse("The model provider sent JSON that is not a response.")
        yield [_Event(type=f"response.{whole['status']}", response=whole)]
        return
    if media != "text/event-stream":
        shown = media if media.replace("/", "").replace("-", "").isalnum() and len(media) < 60 else "another type"
        unlike = UpstreamInvalidResponse(
            f"The model provider's address answered with {shown}, which is not a Responses API."
        )
        unlike.max_attempts = 1
        unlike.may_be_billed = False
        raise unlike
    parser = EventParser()
    for chunk in _chunks(response):
        if data := parser.feed(chunk):
            yield _decoded(data)


def _chunks(response: "Response") -> Iterator[bytes]:
    """The body, decompressed if a server compressed it although it was asked not to."""
    return response.for_httpx().iter_bytes() if response.header(b"content-encoding") else iter(response)


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


def _drain(received: Iterator[Any]) -> None:
    """Read to the end of the body, to reuse the connection. The answer is already complete."""
    with suppress(Exception):
        for _ in received:
            pass


def _read_bounded(response: "Response") -> bytes:
    body = b""
    for chunk in _chunks(response):
        body += chunk
        if len(body) > MAX_JSON_BODY_BYTES:
            raise OutputTooLarge("The model provider's answer is too large.")
    return body
