"""What every wire format makes of a server's faults: each is one error of ours, and nothing leaks."""

import time
from collections.abc import Iterator

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
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
from tests.support.upstream_faults import ANSWERS, BRING_TEXT, FAILURES, patience_with
from tests.support.wires import FORMATS


@pytest.fixture(name="provider", params=FORMATS)
def _provider(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[ApiProvider]:
    """With the patience that the test's model needs, where it has one."""
    model = request.node.callspec.params.get("model", "normal")
    idle_s = patience_with(model).idle_s
    wire = FORMATS[request.param]()
    provider = ApiProvider(wire, api_key=KEY_CANARY, base_url=upstream.base_url, idle_timeout_s=idle_s)
    yield provider
    provider.close()


def streamed(provider: ApiProvider, model: str) -> tuple[list[ProviderEvent], ServiceError | None]:
    """The events of a call, and the error that ended it."""
    call = ProviderCall(model, messages_of("Be brief.", "Hello"), {})
    context = CallContext(time.monotonic() + patience_with(model).deadline_s, SystemClock())
    events = list[ProviderEvent]()
    try:
        events.extend(provider.stream(call, context))
    except ServiceError as error:
        return events, error
    return events, None


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def test_every_fault_of_the_upstream_is_expected_here() -> None:
    assert set(FAULT_MODELS) == set(FAILURES) | set(ANSWERS)


@pytest.mark.parametrize("model", sorted(FAILURES))
def test_failure(provider: ApiProvider, upstream: Upstream, model: str) -> None:
    before, started = len(upstream.calls), time.monotonic()
    events, error = streamed(provider, model)
    assert type(error) is FAILURES[model]
    assert error is not None
    assert time.monotonic() - started < 30, "the model would hang for an hour"
    assert len(upstream.calls) == before + 1, "one call, no retry, no redirect followed"
    assert KEY_CANARY not in str(error)
    assert "secret" not in error.detail
    assert not any(isinstance(event, Done) for event in events)


@pytest.mark.parametrize("model", sorted(BRING_TEXT | {"fault-hang-after-3", "fault-drip", "fault-huge"}))
def test_the_text_before_a_failure_is_kept(provider: ApiProvider, model: str) -> None:
    events, error = streamed(provider, model)
    assert error is not None
    text = text_of(events)
    assert text.startswith(("part1 part2 part3 ", "Answer to: Hello", "first ", "xxxx"))


@pytest.mark.parametrize("model", sorted(ANSWERS))
def test_strange_answer(provider: ApiProvider, model: str) -> None:
    events, error = streamed(provider, model)
    assert error is None
    (done,) = (event for event in events if isinstance(event, Done))
    assert done is events[-1]
    assert (done.status, done.text, done.incomplete_reason) == ANSWERS[model]
    assert text_of(events) == done.text


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("normal", Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1)),
        ("fault-incomplete", Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1)),
        ("fault-json-body", Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1)),
        ("fault-no-usage", Usage()),
        ("fault-bad-usage", Usage()),
        ("fault-no-usage-details", Usage(3, 4, 7)),
    ],
)
def test_usage(provider: ApiProvider, model: str, usage: Usage) -> None:
    *_, done = streamed(provider, model)[0]
    assert isinstance(done, Done)
    assert done.usage == usage
    assert done.upstream_request_id == "req_test"
    assert done.model == model


@pytest.mark.parametrize("model", ["fault-failed-usage"])
def test_usage_of_a_failure_comes_before_the_error(provider: ApiProvider, model: str) -> None:
    events, error = streamed(provider, model)
    assert type(error) is errors.UpstreamError
    assert events[-1] == Billed(Usage(3, 4, 7, cached_input_tokens=2, reasoning_tokens=1))


def test_connections_are_used_again(provider: ApiProvider, upstream: Upstream) -> None:
    streamed(provider, "normal")
    before = upstream.connections
    for _ in range(20):
        streamed(provider, "normal")
    assert upstream.connections == before


@pytest.mark.parametrize("wire", FORMATS)
def test_closing_early_closes_the_upstream_call(wire: str) -> None:
    with Upstream() as upstream:
        provider = ApiProvider(FORMATS[wire](), api_key=None, base_url=upstream.base_url, idle_timeout_s=60)
        call = ProviderCall("tokens-1000-100", messages_of("Be brief.", "Hello"), {})
        events = provider.stream(call, CallContext(time.monotonic() + 30, SystemClock()))
        assert isinstance(next(events), Delta)
        assert upstream.open_connections == 1
        events.close()
        until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("wire", FORMATS)
def test_stopping_a_call_closes_it(wire: str) -> None:
    with Upstream() as upstream:
        provider = ApiProvider(FORMATS[wire](), api_key=None, base_url=upstream.base_url, idle_timeout_s=60)
        call = ProviderCall("tokens-1000-100", messages_of("Be brief.", "Hello"), {})
        context = CallContext(time.monotonic() + 30, SystemClock())
        events = provider.stream(call, context)
        assert isinstance(next(events), Delta)
        context.stop()
        with pytest.raises(ServiceError):
            list(events)
        until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("model", ["fault-html", "fault-other-api", "fault-other-api-json"])
def test_a_server_of_another_kind_is_asked_once(provider: ApiProvider, model: str) -> None:
    """It answers in the same way each time."""
    events, error = streamed(provider, model)
    assert error is not None
    assert (events, error.max_attempts) == ([], 1)
    assert "Operators" in error.detail or "providers file" in error.detail


def test_retry_after_reaches_the_error(provider: ApiProvider) -> None:
    _, error = streamed(provider, "fault-429")
    assert error is not None
    assert error.retry_after_s == 7
    _, error = streamed(provider, "fault-429-date")
    assert error is not None
    assert error.retry_after_s is None, "a date in the past says nothing"


def test_lasting_trouble_is_told_until_an_answer_comes(provider: ApiProvider) -> None:
    assert provider.health_error() is None
    streamed(provider, "fault-401")
    assert "key" in str(provider.health_error())
    streamed(provider, "normal")
    assert provider.health_error() is None


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
        ("fault-other-api", False),
        ("fault-other-api-json", False),
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
    _, error = streamed(provider, model)
    assert error is not None
    assert error.may_be_billed is may_be_billed
