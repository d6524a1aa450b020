"""The Responses API on real sockets: what is sent, what is read of usage, and servers that are not there.

The faults of servers are in the suite of all wire formats, tests/contracts/test_provider_faults.py.
"""

import time
from collections.abc import Iterator

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.usage import parse_usage
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall
from llm_service.core.usage.tokens import Usage
from tests.support.builders import messages_of
from tests.support.constants import KEY_CANARY
from tests.support.upstream import Upstream
from tests.support.upstream_faults import patience_with


@pytest.fixture(name="provider")
def _provider(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[ApiProvider]:
    """With the patience that the test's model needs, where it has one."""
    model = request.node.callspec.params.get("model", "normal") if hasattr(request.node, "callspec") else "normal"
    idle_s = patience_with(model).idle_s
    provider = ApiProvider(ResponsesWire(), api_key=KEY_CANARY, base_url=upstream.base_url, idle_timeout_s=idle_s)
    yield provider
    provider.close()


def call(model: str, **options: object) -> ProviderCall:
    return ProviderCall(model, messages_of("Be brief.", "Hello"), options)


def context(model: str) -> CallContext:
    return CallContext(time.monotonic() + patience_with(model).deadline_s, SystemClock())


def drain(provider: ApiProvider, model: str) -> tuple[str, Done]:
    *deltas, done = provider.stream(call(model), context(model))
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert isinstance(done, Done)
    return "".join(delta.text for delta in deltas if isinstance(delta, Delta)), done


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (None, Usage()),
        ([], Usage()),
        ({"input_tokens": -1, "output_tokens": "7", "total_tokens": 10**30}, Usage()),
        ({"input_tokens": 100_000_001, "output_tokens": 100_000_000}, Usage(None, 100_000_000)),
        ({"input_tokens": True, "output_tokens": 1.5}, Usage()),
        ({"input_tokens": 0, "output_tokens": 5, "input_tokens_details": None}, Usage(0, 5)),
        ({"input_tokens_details": {"cached_tokens": 0}}, Usage(cached_input_tokens=0)),
    ],
)
def test_usage_keeps_only_what_is_known(reported: object, expected: Usage) -> None:
    assert parse_usage(reported) == expected


def test_what_is_sent(provider: ApiProvider, upstream: Upstream) -> None:
    list(provider.stream(call("what-is-sent", temperature=0.5), context("what-is-sent")))
    (sent,) = upstream.calls_of("what-is-sent")
    assert sent["body"] == {
        "model": "what-is-sent",
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "store": False,
        "temperature": 0.5,
    }
    assert sent["headers"]["authorization"] == f"Bearer {KEY_CANARY}"


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("http://127.0.0.1:1/v1", errors.UpstreamUnreachable),
        ("http://does-not-exist.invalid/v1", errors.UpstreamUnreachable),
    ],
)
def test_nobody_there(address: str, error: type[ServiceError]) -> None:
    provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=1)
    with pytest.raises(error):
        drain(provider, "normal")
    provider.close()


def test_tls_is_never_given_up(upstream: Upstream) -> None:
    """A server that does not speak TLS is no reason to speak plain HTTP."""
    address = upstream.base_url.replace("http:", "https:")
    provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=1)
    before = len(upstream.calls)
    # The server waits for the end of a request's head, which the first bytes of TLS rarely contain.
    with pytest.raises((errors.UpstreamTls, errors.UpstreamTimeout, errors.UpstreamUnreachable)):
        drain(provider, "normal")
    provider.close()
    assert len(upstream.calls) == before


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1"])
def test_what_never_went_out_is_on_no_bill(address: str) -> None:
    provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=60)
    provider.warm()
    with pytest.raises(ServiceError) as raised:
        drain(provider, "normal")
    provider.close()
    assert raised.value.may_be_billed is False
