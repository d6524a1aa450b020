"""The OpenAI Responses API, or any server that speaks it, through the `openai` SDK.

The SDK gives the address, the key, the headers and its errors; its silence is not trusted: an answer is complete only
when a terminal event was seen, the whole call is under one deadline, nothing is retried or redirected, and the
provider is asked not to store anything. Events are read by our own parser, at a sixth of the CPU of the SDK's typed
ones. `openai` takes half a second to import, so that this module is loaded after the server listens (`warm`).
"""

import json
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from llm_service.core.errors import (
    DeadlineExceeded,
    OutputTooLarge,
    ServiceError,
    UpstreamAuth,
    UpstreamInvalidResponse,
    UpstreamQuota,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, Delta, Done, ProviderCall, ProviderEvent, Status
from llm_service.core.text import repair
from llm_service.core.usage.tokens import Usage

from ..sse import parse_events
from .strict_schema import strict_schema

if TYPE_CHECKING:
    import httpx2
    import openai

MAX_OUTPUT_BYTES = 2 * 1024 * 1024
MAX_JSON_BODY_BYTES = 16 * 1024 * 1024
# More than any model takes or gives: a count above it is a fault, and would spoil every sum.
MAX_TOKENS = 100_000_000
# After the terminal event: how long to wait for the end of the body, so that the connection can be used again.
DRAIN_S = 0.05
_TEXT_DELTAS = ("response.output_text.delta", "response.refusal.delta")
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
# Faults that stay until an operator acts; readiness tells them.
_LASTING = (UpstreamAuth, UpstreamQuota, UpstreamTls, UpstreamRedirect)


class OpenAIProvider:
    """One client per process, made on the first call or by `warm`. `base_url` None = OpenAI's own address."""

    name = "openai"

    def __init__(self, *, api_key: str | None, base_url: str | None, idle_timeout_s: float) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._idle_timeout_s = idle_timeout_s
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self.warmed = False

    @property
    def identity(self) -> str:
        return f"openai:{self._base_url or ''}"

    def stream(self, call: ProviderCall, control: CallContext) -> Generator[ProviderEvent, None, None]:
        from .errors import from_exception

        answer, began = _Answer(), False
        try:
            with closing(self._post(call, control)) as response:
                began = True
                yield from self._read(response, call, answer)
        except Exception as error:
            mapped = from_exception(error)
            if isinstance(mapped, UpstreamTimeout) and answer.started and time.monotonic() >= control.deadline:
                mapped = DeadlineExceeded("The answer took longer than a generation may take.")
            elif began and isinstance(mapped, UpstreamUnreachable):
                mapped = UpstreamTruncated("The connection to the model provider broke before the answer was whole.")
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
                self._client = _make_client(self._api_key, self._base_url)
            return self._client

    def _post(self, call: ProviderCall, control: CallContext) -> "httpx2.Response":
        import httpx2

        from ..transport import stopped_by

        client = self._ready_client()
        body = {**_request_body(call), **({} if self._base_url else {"stream_options": {"include_obfuscation": False}})}
        left_s = max(control.deadline - time.monotonic(), 0.001)
        # The SDK's raw mode: its address, headers and errors, and a response whose body is ours to read.
        headers = {"X-Stainless-Raw-Response": "stream", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        with stopped_by(control):
            return client.post(
                "/responses", cast_to=httpx2.Response, body=body, options={"headers": headers, "timeout": left_s}
            )

    def _read(self, response: "httpx2.Response", call: ProviderCall, answer: "_Answer") -> Iterator[ProviderEvent]:
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
                    yield Billed(_usage_of(event.get("response")))
                    raise
                limit.idle_s = DRAIN_S
                _drain(events)
                self._trouble = None
                yield from last
                return
            elif kind == "error":
                from .errors import from_error_object

                raise from_error_object(event)
        raise UpstreamTruncated("The model provider's answer ended before it was whole.")


class _Answer:
    """What came so far, and what the terminal event makes of it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._bytes = 0
        self._refused = False

    @property
    def started(self) -> bool:
        return bool(self._parts)

    def add(self, text: Any, *, refusal: bool = False) -> Delta:
        if not isinstance(text, str):
            raise UpstreamInvalidResponse("The model provider sent a piece of text that is none.")
        text = repair(text)
        self._refused |= refusal
        self._bytes += len(text.encode())
        if self._bytes > MAX_OUTPUT_BYTES:
            raise OutputTooLarge("The answer is larger than 2 MiB.")
        self._parts.append(text)
        return Delta(text)

    def finish(self, response: Any, model: str, upstream_id: str | None) -> list[ProviderEvent]:
        if not isinstance(response, dict):
            raise UpstreamInvalidResponse("The model provider's last event has no response.")
        if response.get("status") not in ("completed", "incomplete"):
            from .errors import from_error_object

            raise from_error_object(response.get("error"))
        late: list[ProviderEvent] = []
        if not self._parts:
            text, refused = _whole_text(response)
            late += [self.add(text, refusal=refused)] if text else []
        reason = _incomplete_reason(response, self._refused)
        reported = response.get("model")
        done = Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text="".join(self._parts),
            usage=_usage_of(response),
            model=reported if isinstance(reported, str) else model,
            incomplete_reason=reason,
            upstream_request_id=upstream_id[:200] if upstream_id else None,
        )
        return [*late, done]


def _request_body(call: ProviderCall) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.model, "input": call.prompts.user, "store": False, "stream": True}
    if call.prompts.system:
        body["instructions"] = call.prompts.system
    if call.output:
        schema = strict_schema(call.output.schema)
        body["text"] = {"format": {"type": "json_schema", "name": call.output.name, "strict": True, "schema": schema}}
    return {**body, **call.options}


def _events(response: "httpx2.Response") -> Iterator[dict[str, Any]]:
    """The body's events as objects; a server that does not stream gives its one terminal event."""
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/json":
        whole = json.loads(_read_bounded(response))
        if not isinstance(whole, dict) or not isinstance(whole.get("status"), str):
            raise UpstreamInvalidResponse("The model provider sent JSON that is no response.")
        yield {"type": f"response.{whole['status']}", "response": whole}
        return
    if media != "text/event-stream":
        shown = media if media.replace("/", "").replace("-", "").isalnum() and len(media) < 60 else "another type"
        unlike = UpstreamInvalidResponse(
            f"The model provider's address answered with {shown}: it does not look like a Responses API. Tell the operator."
        )
        unlike.max_attempts = 1
        unlike.may_be_billed = False
        raise unlike
    for sent in parse_events(response.iter_bytes()):
        if sent.data != "[DONE]":
            event = json.loads(sent.data)
            if not isinstance(event, dict):
                raise UpstreamInvalidResponse("The model provider sent an event that is no object.")
            yield event


def _drain(events: Iterator[dict[str, Any]]) -> None:
    """Read to the end of the body, so that the connection can be used again; the answer is whole already."""
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


def _whole_text(response: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of a response that came without deltas, and whether it is a refusal."""
    texts, refusals = list[str](), list[str]()
    for item in response.get("output") or []:
        for part in (item.get("content") or []) if isinstance(item, dict) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
                refusals.append(part["refusal"])
    return ("".join(texts), False) if texts or not refusals else ("".join(refusals), True)


def _incomplete_reason(response: Mapping[str, Any], refused: bool) -> str | None:
    """None for a complete answer. A refusal is no complete answer to what was asked."""
    if response.get("status") == "completed":
        return "refusal" if refused else None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if isinstance(reason, str) and len(reason) <= 40 and reason.isprintable() else "unknown"


def _usage_of(response: Any) -> Usage:
    return parse_usage(response.get("usage")) if isinstance(response, dict) else Usage()


def parse_usage(usage: Any) -> Usage:
    """The counts that are there and make sense; None for the others."""
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        cached_input_tokens=_count(into, "cached_tokens"),
        reasoning_tokens=_count(out, "reasoning_tokens"),
    )


def _count(values: Any, name: str) -> int | None:
    value = values.get(name) if isinstance(values, dict) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if good else None


def _make_client(api_key: str | None, base_url: str | None) -> "openai.OpenAI":
    import httpx2
    import openai

    from ..transport import DeadlineTransport

    client = openai.OpenAI(
        # Servers of one's own often want no key, but the SDK does.
        api_key=api_key or "none",
        base_url=base_url,
        max_retries=0,
        http_client=httpx2.Client(transport=DeadlineTransport(), follow_redirects=False, trust_env=False),
    )
    _rehearse(client)
    return client


def _rehearse(client: "openai.OpenAI") -> None:
    """One call with no network: the SDK builds its schemas and asks the platform (it runs `uname`) only once."""
    import httpx2

    canned = httpx2.MockTransport(lambda request: httpx2.Response(200, json={}))
    with httpx2.Client(transport=canned) as http_client:
        client.copy(http_client=http_client).post("/responses", cast_to=httpx2.Response, body={"model": "none"})
