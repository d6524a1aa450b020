"""The OpenAI Responses API, or any server that supports it, through the `openai` SDK.

The SDK provides the address, the key, the headers and its errors. An answer is complete only after a terminal event.
One deadline covers the whole call, nothing is retried or redirected, and the provider is asked to store nothing. Our
own parser reads the events, with a sixth of the CPU time of the SDK's typed ones. Importing `openai` takes half a
second, so it is imported after the server listens (`warm`).
"""

import json
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

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

from ..proxies import Proxy
from ..sse import parse_events
from .answer import Answer, usage_of
from .strict_schema import strict_schema

if TYPE_CHECKING:
    import httpx2
    import openai

# The SDK's own default for `base_url`.
OPENAI_URL = "https://api.openai.com/v1"
MAX_JSON_BODY_BYTES = 16 * 1024 * 1024
# After the terminal event: how long to wait for the end of the body. Then the connection can be reused.
DRAIN_S = 0.05
# The API's names of the options.
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_output_tokens"}
_TEXT_DELTAS = ("response.output_text.delta", "response.refusal.delta")
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
# Errors that persist until an operator acts; the readiness check shows them.
_LASTING = (UpstreamAuth, UpstreamProxy, UpstreamQuota, UpstreamTls, UpstreamRedirect)


class OpenAIProvider:
    """One client per process, created on the first call or by `warm`. `base_url` None = OpenAI's own address."""

    name = "openai"

    def __init__(
        self, *, api_key: str | None, base_url: str | None, idle_timeout_s: float, proxy: Proxy | None = None
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._proxy = proxy
        self._idle_timeout_s = idle_timeout_s
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self.warmed = False

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

    def warm(self) -> None:
        self._ready_client()
        self.warmed = True

    def health_error(self) -> str | None:
        return self._trouble

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _ready_client(self) -> "openai.OpenAI":
        with self._lock:
            if self._client is None:
                self._client = _make_client(self._api_key, self._base_url, self._proxy)
            return self._client

    def _post(self, call: ProviderCall, context: CallContext) -> "httpx2.Response":
        import httpx2

        from ..transport import stopped_by

        client = self._ready_client()
        body = {**_request_body(call), **({} if self._base_url else {"stream_options": {"include_obfuscation": False}})}
        left_s = max(context.deadline - time.monotonic(), 0.001)
        # The SDK's raw mode: its address, headers and errors, but we read the body.
        headers = {"X-Stainless-Raw-Response": "stream", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        with stopped_by(context):
            return client.post(
                "/responses", cast_to=httpx2.Response, body=body, options={"headers": headers, "timeout": left_s}
            )

    def _read(self, response: "httpx2.Response", call: ProviderCall, answer: "Answer") -> Iterator[ProviderEvent]:
        limit = response.extensions["limit"]
        upstream_id = response.headers.get("x-request-id")
        events = _events(response)
        for event in events:
            kind = event.get("type")
            if kind in _TEXT_DELTAS:
                limit.idle_s = self._idle_timeout_s
                yield answer.add(event.get("delta"), refusal=kind == "response.refusal.delta")
            elif kind in _TERMINAL:
                try:
                    last = answer.finish(event.get("response"), call.model, upstream_id)
                except ServiceError:
                    yield Billed(usage_of(event.get("response")))
                    raise
                limit.idle_s = DRAIN_S
                _drain(events)
                self._trouble = None
                yield from last
                return
            elif kind == "error":
                from .errors import from_error_object

                raise from_error_object(event)
        raise UpstreamTruncated("The model provider's answer ended before it was complete.")


def _request_body(call: ProviderCall) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.model, "input": call.user_prompt, "store": False, "stream": True}
    if call.system_prompt:
        body["instructions"] = call.system_prompt
    if call.output:
        schema = strict_schema(call.output.schema)
        body["text"] = {"format": {"type": "json_schema", "name": call.output.name, "strict": True, "schema": schema}}
    return {**body, **{_OPTIONS[name]: value for name, value in call.options.items()}}


def _events(response: "httpx2.Response") -> Iterator[dict[str, Any]]:
    """The body's events as objects. A server that does not stream gives only the terminal event."""
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/json":
        whole = json.loads(_read_bounded(response))
        if not isinstance(whole, dict) or not isinstance(whole.get("status"), str):
            raise UpstreamInvalidResponse("The model provider sent JSON that is not a response.")
        yield {"type": f"response.{whole['status']}", "response": whole}
        return
    if media != "text/event-stream":
        shown = media if media.replace("/", "").replace("-", "").isalnum() and len(media) < 60 else "another type"
        unlike = UpstreamInvalidResponse(
            f"The model provider's address answered with {shown}, which is not a Responses API."
        )
        unlike.max_attempts = 1
        unlike.may_be_billed = False
        raise unlike
    for sent in parse_events(response.iter_bytes()):
        if sent.data != "[DONE]":
            event = json.loads(sent.data)
            if not isinstance(event, dict):
                raise UpstreamInvalidResponse("The model provider sent an event that is not an object.")
            yield event


def _drain(events: Iterator[dict[str, Any]]) -> None:
    """Read to the end of the body, to reuse the connection. The answer is already complete."""
    with suppress(Exception):
        for _ in events:
            pass


def _read_bounded(response: "httpx2.Response") -> bytes:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_JSON_BODY_BYTES:
            raise OutputTooLarge("The model provider's answer is too large.")
    return body


def _make_client(api_key: str | None, base_url: str | None, proxy: Proxy | None) -> "openai.OpenAI":
    import httpx2
    import openai

    from ..transport import DeadlineTransport

    client = openai.OpenAI(
        # Self-hosted servers often need no key, but the SDK does.
        api_key=api_key or "none",
        base_url=base_url,
        max_retries=0,
        http_client=httpx2.Client(transport=DeadlineTransport(proxy), follow_redirects=False, trust_env=False),
    )
    _rehearse(client)
    return client


def _rehearse(client: "openai.OpenAI") -> None:
    """One call without a network: the SDK builds its schemas and runs `uname` on its first call."""
    import httpx2

    canned = httpx2.MockTransport(lambda request: httpx2.Response(200, json={}))
    with httpx2.Client(transport=canned) as http_client:
        client.copy(http_client=http_client).post("/responses", cast_to=httpx2.Response, body={"model": "none"})
