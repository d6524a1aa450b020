"""The retry loop and its budget: rules by a clock of ours, faults over real sockets."""

import threading
import time
from collections.abc import Iterator

import pytest

from llm_service.adapters.providers.circuit_breaker import MIN_ATTEMPTS
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.providers.retry import BUDGET_FREE, ResilientProvider, RetryBudget
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import AttemptStarted, Delta, Done, ProviderCall, ProviderEvent, Retrying
from tests.support.builders import messages_of
from tests.support.clocks import HandTimer, until
from tests.support.constants import KEY_CANARY
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.support.upstream_faults import BRING_TEXT, FAILURES, Patience, patience_with

# Calls that are made in all, where nobody has seen any text; every other failure is final at once.
ATTEMPTS = {
    **dict.fromkeys(("fault-500", "fault-502", "fault-529", "fault-429-plain", "fault-429-date"), 3),
    **dict.fromkeys(("fault-reset", "fault-empty", "fault-eof-at-start"), 3),
    **dict.fromkeys(("fault-eof-after-3", "fault-rst-after-3", "fault-garbage-after-3"), 3),
    **dict.fromkeys(("fault-eof-mid-event", "fault-no-terminal"), 3),
    **dict.fromkeys(("fault-408", "fault-bad-json-event"), 2),
    "fault-json-broken": 2,
}


class RecordedPauses(CallContext):
    """A call that does not sleep between its attempts, and remembers how long it should have."""

    def __init__(self, deadline: float) -> None:
        super().__init__(deadline, SystemClock())
        self.pauses_s: list[float] = []

    def sleep(self, seconds: float) -> bool:
        self.pauses_s.append(seconds)
        return self.stopped


def no_wait(_low: float, _high: float) -> float:
    return 0.0


@pytest.fixture(name="patience")
def _patience(request: pytest.FixtureRequest) -> Patience:
    """That of the test's model, where it has one."""
    return patience_with(request.node.callspec.params["model"] if hasattr(request.node, "callspec") else "normal")


@pytest.fixture(name="provider")
def _provider(upstream: Upstream, patience: Patience) -> Iterator[ResilientProvider]:
    made = ApiProvider(ResponsesWire(), api_key=KEY_CANARY, base_url=upstream.base_url, idle_timeout_s=patience.idle_s)
    provider = ResilientProvider(made, slots=10, jitter=no_wait)
    yield provider
    provider.close()


def call(model: str) -> ProviderCall:
    return ProviderCall(model, messages_of("Be brief.", "Hello"), {})


@pytest.mark.parametrize("may_restart", [True, False])
@pytest.mark.parametrize("model", sorted(FAILURES))
def test_how_often_each_fault_is_tried(
    provider: ResilientProvider, upstream: Upstream, patience: Patience, model: str, may_restart: bool
) -> None:
    expected = ATTEMPTS.get(model, 1) if may_restart or model not in BRING_TEXT else 1
    before, events = len(upstream.calls), list[ProviderEvent]()
    stream = provider.stream(
        call(model), CallContext(time.monotonic() + patience.deadline_s, SystemClock(), lambda: may_restart)
    )
    with pytest.raises(ServiceError) as raised:
        events.extend(stream)
    assert type(raised.value) is FAILURES[model]
    assert len(upstream.calls) - before == expected
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == list(range(2, expected + 1))


def test_the_time_that_the_provider_names_is_waited(upstream: Upstream) -> None:
    made = ApiProvider(ResponsesWire(), api_key=KEY_CANARY, base_url=upstream.base_url, idle_timeout_s=60)
    provider = ResilientProvider(made, slots=10)
    before, context = len(upstream.calls), RecordedPauses(time.monotonic() + 60)
    events = list(provider.stream(call("retry-after-2"), context))
    provider.close()
    assert isinstance(events[-1], Done)
    (pause_s,) = context.pauses_s
    assert 2.0 <= pause_s < 3.0
    assert len(upstream.calls) - before == 2


def test_a_time_beyond_the_deadline_is_answered_at_once(provider: ResilientProvider, upstream: Upstream) -> None:
    before, context = len(upstream.calls), RecordedPauses(time.monotonic() + 6)
    with pytest.raises(errors.UpstreamRateLimited) as raised:
        list(provider.stream(call("fault-429"), context))
    assert raised.value.retry_after_s == 7
    assert context.pauses_s == []
    assert len(upstream.calls) - before == 1


def test_a_stop_ends_the_pause(upstream: Upstream) -> None:
    provider = ResilientProvider(
        ApiProvider(ResponsesWire(), api_key=None, base_url=upstream.base_url, idle_timeout_s=5),
        slots=10,
        jitter=lambda _low, _high: 60.0,
    )
    context = CallContext(time.monotonic() + 120, SystemClock())
    events = provider.stream(call("fault-500"), context)
    assert next(events) == Retrying(may_be_billed=False), "a provider does not bill its own failure"
    context.stop()
    with pytest.raises(errors.Cancelled):
        next(events)
    provider.close()


def test_a_stop_ends_a_read_that_blocks(upstream: Upstream) -> None:
    provider = ResilientProvider(
        ApiProvider(ResponsesWire(), api_key=None, base_url=upstream.base_url, idle_timeout_s=600), slots=10
    )
    context = CallContext(time.monotonic() + 600, SystemClock())
    events = provider.stream(call("fault-hang-after-3"), context)
    assert isinstance(next(events), Delta)
    open_before = upstream.open_connections
    threading.Timer(0.1, context.stop).start()
    started = time.monotonic()
    with pytest.raises(ServiceError):
        list(events)
    assert time.monotonic() - started < 300, "long before the idle limit"
    until(lambda: upstream.open_connections < open_before)
    assert provider.circuit == "closed"
    provider.close()


def test_the_budget() -> None:
    clock = HandTimer(1000)
    budget = RetryBudget(clock)
    for _ in range(200):
        budget.count_request()
    assert sum(budget.take() for _ in range(200)) == BUDGET_FREE + 20
    assert budget.taken == BUDGET_FREE + 20
    clock.now += 61
    assert sum(budget.take() for _ in range(200)) == BUDGET_FREE


@pytest.mark.parametrize("model", ["fault-400", "fault-401", "fault-429-plain", "fault-eof-after-3", "fault-json-null"])
def test_what_is_no_sign_of_illness_never_opens_it(provider: ResilientProvider, model: str) -> None:
    for _ in range(MIN_ATTEMPTS + 2):
        with pytest.raises(ServiceError):
            list(provider.stream(call(model), CallContext(time.monotonic() + 2, SystemClock())))
    assert provider.circuit == "closed"


@pytest.mark.parametrize("model", ["fault-500", "fault-429-plain", "fault-eof-at-start", "fault-reset", "loading-9"])
def test_there_is_one_attempt_where_another_model_is_left(
    provider: ResilientProvider, upstream: Upstream, model: str
) -> None:
    before, context = len(upstream.calls), CallContext(time.monotonic() + 60, SystemClock())
    context.fallback_left = True
    with pytest.raises(ServiceError):
        list(provider.stream(call(model), context))
    assert len(upstream.calls) - before == 1
    assert provider.budget.taken == 0


def test_a_model_that_fails_does_not_close_the_others(provider: ResilientProvider, upstream: Upstream) -> None:
    for _ in range(24):
        with pytest.raises(ServiceError):
            list(provider.stream(call("fault-500"), CallContext(time.monotonic() + 60, SystemClock())))
    before = len(upstream.calls)
    with pytest.raises(errors.UpstreamUnavailable) as raised:
        list(provider.stream(call("fault-500"), CallContext(time.monotonic() + 60, SystemClock())))
    assert raised.value.detail.startswith("The model failed too often")
    assert len(upstream.calls) == before
    answer = list(provider.stream(call("normal"), CallContext(time.monotonic() + 60, SystemClock())))
    assert isinstance(answer[-1], Done)
    assert provider.circuits() == {"fault-500": "open", "normal": "closed"}
    assert provider.circuit == "open"
    assert provider.health_error() == "fault-500 fails; its circuit is open."


def test_a_dead_upstream_is_left_alone_and_readiness_says_so() -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    provider = ResilientProvider(
        ApiProvider(ResponsesWire(), api_key=None, base_url=nobody, idle_timeout_s=1), slots=10, jitter=no_wait
    )
    for _ in range(MIN_ATTEMPTS):
        with pytest.raises(errors.UpstreamError):
            list(provider.stream(call("normal"), CallContext(time.monotonic() + 2, SystemClock())))
    with pytest.raises(errors.UpstreamUnavailable):
        list(provider.stream(call("another"), CallContext(time.monotonic() + 2, SystemClock())))
    assert provider.circuits() == {"normal": "open", "another": "open"}
    assert provider.health_error() == "It fails; the circuit is open."
    provider.close()
