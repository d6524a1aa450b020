"""The OpenAI adapter against real sockets: each fault of the provider is one error of ours, and nothing leaks."""

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
from llm_service.core.generation.model import Billed, Delta, Done, ProviderCall, ProviderEvent
from llm_service.core.usage.tokens import Usage
from tests.support.builders import messages_of
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY
from tests.support.upstream import FAULT_MODELS, Upstream
from tests.support.upstream_faults import ANSWERS, FAILURES, patience_with


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


def test_every_fault_of_the_upstream_is_expected_here() -> None:
    assert set(FAULT_MODELS) == set(FAILURES) | set(ANSWERS)


@pytest.mark.parametrize("model", sorted(FAILURES))
def test_failure(provider: ApiProvider, upstream: Upstream, model: str) -> None:
    before = len(upstream.calls)
    started = time.monotonic()
    with pytest.raises(ServiceError) as raised:
        drain(provider, model)
    assert type(raised.value) is FAILURES[model]
    assert time.monotonic() - started < 30, "the model would hang for an hour"
    assert len(upstream.calls) == before + 1, "one call, no retry, no redirect followed"
    assert KEY_CANARY not in str(raised.value)
    assert "secret" not in raised.value.detail


@pytest.mark.parametrize("model", sorted(ANSWERS))
def test_strange_answer(provider: ApiProvider, model: str) -> None:
    text, done = drain(provider, model)
    assert (done.status, done.text, done.incomplete_reason) == ANSWERS[model]
    assert text == done.text


def test_usage_of_a_normal_answer(provider: ApiProvider) -> None:
    _, done = drain(provider, "normal")
    assert done.usage == Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1)
    assert done.upstream_request_id == "req_test"


def test_usage_of_a_failure_comes_before_the_error(provider: ApiProvider) -> None:
    events = list[ProviderEvent]()
    stream = provider.stream(call("fault-failed-usage"), context("fault-failed-usage"))
    with pytest.raises(errors.UpstreamError):
        events.extend(stream)
    assert events[-1] == Billed(Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1))


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


def test_connections_are_used_again(provider: ApiProvider, upstream: Upstream) -> None:
    drain(provider, "normal")
    before = upstream.connections
    for _ in range(20):
        drain(provider, "normal")
    assert upstream.connections == before


def test_closing_early_closes_the_upstream_call() -> None:
    with Upstream() as upstream:
        provider = ApiProvider(ResponsesWire(), api_key=None, base_url=upstream.base_url, idle_timeout_s=60)
        events = provider.stream(call("tokens-1000-100"), CallContext(time.monotonic() + 30, SystemClock()))
        assert isinstance(next(events), Delta)
        assert upstream.open_connections == 1
        events.close()
        until(lambda: upstream.open_connections == 0)


def test_retry_after_reaches_the_error(provider: ApiProvider) -> None:
    with pytest.raises(errors.UpstreamRateLimited) as raised:
        drain(provider, "fault-429")
    assert raised.value.retry_after_s == 7
    with pytest.raises(errors.UpstreamRateLimited) as raised:
        drain(provider, "fault-429-date")
    assert raised.value.retry_after_s is None, "a date in the past says nothing"


def test_lasting_trouble_is_told_until_an_answer_comes(provider: ApiProvider) -> None:
    assert provider.health_error() is None
    with pytest.raises(errors.UpstreamAuth):
        drain(provider, "fault-401")
    assert "key" in str(provider.health_error())
    drain(provider, "normal")
    assert provider.health_error() is None


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


@pytest.mark.parametrize(
    ("model", "may_be_billed"),
    [
        ("fault-401", False),
        ("fault-429", False),
        ("fault-500", False),
        ("fault-503", False),
        ("fault-too-long", False),
        ("fault-redirect", False),
        ("fault-html", False),
        ("fault-408", True),
        ("fault-502", True),
        ("fault-reset", True),
        ("fault-hang", True),
        ("fault-eof-after-3", True),
        ("fault-huge", True),
        ("fault-json-broken", True),
    ],
)
def test_what_may_be_on_the_bill_although_nothing_reported_it(
    provider: ApiProvider, model: str, may_be_billed: bool
) -> None:
    """A refusal costs nothing; of what was accepted and not answered nobody knows."""
    provider.warm()
    with pytest.raises(ServiceError) as raised:
        drain(provider, model)
    assert raised.value.may_be_billed is may_be_billed


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1"])
def test_what_never_went_out_is_on_no_bill(address: str) -> None:
    provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=60)
    provider.warm()
    with pytest.raises(ServiceError) as raised:
        drain(provider, "normal")
    provider.close()
    assert raised.value.may_be_billed is False
