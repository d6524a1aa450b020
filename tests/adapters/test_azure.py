"""Azure: its address, its header, and its errors."""

import json
import time

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.azure import AzureWire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall, ProviderEvent
from tests.support.builders import messages_of
from tests.support.constants import KEY_CANARY
from tests.support.one_answer import EVENTS, JSON, answering
from tests.support.upstream import Upstream

FILTERED = {
    "error": {
        "message": "secret",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}


def events_of(provider: ApiProvider) -> list[ProviderEvent]:
    call = ProviderCall("my-deployment", messages_of("Be brief.", "Hello"), {})
    return list(provider.stream(call, CallContext(time.monotonic() + 60, SystemClock())))


def test_the_key_is_in_both_headers(upstream: Upstream) -> None:
    before = len(upstream.calls)
    address = f"http://127.0.0.1:{upstream.port}/openai/v1/"
    provider = ApiProvider(AzureWire(), api_key=KEY_CANARY, base_url=address, idle_timeout_s=60)
    *_, done = events_of(provider)
    provider.close()
    assert isinstance(done, Done)
    (sent,) = upstream.calls[before:]
    assert sent["path"] == "/openai/v1/responses"
    assert (sent["headers"]["api-key"], sent["headers"]["authorization"]) == (KEY_CANARY, f"Bearer {KEY_CANARY}")
    assert sent["body"]["model"] == "my-deployment"


@pytest.mark.parametrize(("wire", "key"), [(AzureWire(), None), (ResponsesWire(), KEY_CANARY)])
def test_there_is_no_other_header_without_a_key_or_elsewhere(
    upstream: Upstream, wire: ResponsesWire, key: str | None
) -> None:
    before = len(upstream.calls)
    provider = ApiProvider(wire, api_key=key, base_url=upstream.base_url, idle_timeout_s=60)
    events_of(provider)
    provider.close()
    assert "api-key" not in upstream.calls[before]["headers"]


@pytest.mark.parametrize(
    ("status", "media", "body", "error"),
    [
        (400, JSON, json.dumps(FILTERED), errors.ContentFiltered),
        (200, EVENTS, f"event: error\ndata: {json.dumps({'type': 'error', **FILTERED})}\n\n", errors.ContentFiltered),
        (404, JSON, '{"error": {"code": "DeploymentNotFound", "message": "secret"}}', errors.UpstreamModelUnknown),
        (404, JSON, '{"error": {"code": "404", "message": "Resource not found"}}', errors.UpstreamMisconfigured),
        (401, JSON, '{"error": {"code": "401", "message": "secret"}}', errors.UpstreamAuth),
        (429, JSON, '{"error": {"code": "429", "message": "secret"}}', errors.UpstreamRateLimited),
    ],
)
def test_errors(status: int, media: str, body: str, error: type[ServiceError]) -> None:
    with answering(body.encode(), status=status, media=media) as answer:
        provider = ApiProvider(AzureWire(), api_key=KEY_CANARY, base_url=answer.base_url, idle_timeout_s=60)
        with pytest.raises(error) as raised:
            events_of(provider)
        provider.close()
    assert type(raised.value) is error
    assert "secret" not in raised.value.detail


def test_a_text_that_the_filter_cuts_is_incomplete_and_kept() -> None:
    last = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}
    body: list[dict[str, object]] = [
        {"type": "response.output_text.delta", "delta": "Once upon"},
        {"type": "response.incomplete", "response": last},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in body)
    with answering(stream.encode()) as answer:
        provider = ApiProvider(AzureWire(), api_key=KEY_CANARY, base_url=answer.base_url, idle_timeout_s=60)
        delta, done = events_of(provider)
        provider.close()
    assert delta == Delta("Once upon")
    assert isinstance(done, Done)
    assert (done.text, done.incomplete_reason) == ("Once upon", "content_filter")
