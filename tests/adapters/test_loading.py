"""A model that its server is loading: one call asks again, the others wait, and nothing is charged or counted for it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from llm_service.adapters.providers.loading import RETRY_AFTER_S, LoadingModels, Turn
from llm_service.adapters.providers.openai_api.errors import from_error_object, from_status
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import AttemptStarted, Done, ProviderCall, ProviderEvent, Retrying
from tests.support.builders import messages_of
from tests.support.clocks import HandTimer, until
from tests.support.upstream import Upstream

NEVER = "loading-1000000"


def call(model: str) -> ProviderCall:
    return ProviderCall(model, messages_of("Be brief.", "Hello"), {})


class SkippedPauses(CallContext):
    """A call whose pauses pass at once, by the timer of the retry loop."""

    def __init__(self, timer: HandTimer, seconds: float = 60) -> None:
        super().__init__(timer.now + seconds, SystemClock(), may_retry=self._refuse)
        self.timer = timer
        self.pauses_s: list[float] = []

    def sleep(self, seconds: float) -> bool:
        self.pauses_s.append(seconds)
        self.timer.now += seconds
        return self.stopped

    def _refuse(self) -> bool:
        raise AssertionError("a call that was refused unpaid needs no further reservation")


@pytest.fixture(name="upstream", scope="module")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def provider_of(upstream: Upstream, timer: HandTimer | None = None) -> ResilientProvider:
    made = ApiProvider(ResponsesWire(), api_key=None, base_url=upstream.base_url, idle_timeout_s=60)
    return ResilientProvider(made, slots=20, timer=timer or time.monotonic, jitter=lambda low, _high: low)


def test_it_is_asked_again_until_it_answers(upstream: Upstream) -> None:
    timer = HandTimer(time.monotonic())
    provider, context = provider_of(upstream, timer), SkippedPauses(timer)
    events = list(provider.stream(call("loading-5"), context))
    assert isinstance(events[-1], Done)
    assert [event for event in events if isinstance(event, Retrying)] == [Retrying(may_be_billed=False)] * 5
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [2, 3, 4, 5, 6]
    assert context.pauses_s == [0.25, 0.5, 1, 2, 4]
    assert (provider.budget.taken, provider.circuit) == (0, "closed")
    provider.close()


def test_it_is_asked_for_a_quarter_of_the_deadline(upstream: Upstream) -> None:
    timer = HandTimer(time.monotonic())
    provider, context = provider_of(upstream, timer), SkippedPauses(timer, 100)
    before = len(upstream.calls)
    with pytest.raises(errors.UpstreamUnavailable) as raised:
        list(provider.stream(call(NEVER), context))
    assert (raised.value.code, raised.value.retry_after_s) == ("upstream-unavailable", RETRY_AFTER_S)
    assert raised.value.may_be_billed is False
    assert sum(context.pauses_s) <= 25
    assert len(upstream.calls) - before == len(context.pauses_s) + 1
    for _ in range(30):
        with pytest.raises(errors.UpstreamUnavailable):
            list(provider.stream(call(NEVER), SkippedPauses(timer, 4)))
    assert provider.circuit == "closed", "a model that is being loaded does not fail"
    provider.close()


def test_one_call_asks_for_all(upstream: Upstream) -> None:
    provider, model = provider_of(upstream), "loading-3"

    def ask() -> list[ProviderEvent]:
        return list(provider.stream(call(model), CallContext(time.monotonic() + 600, SystemClock())))

    with ThreadPoolExecutor(9) as pool:
        answers: list[Future[list[ProviderEvent]]] = [pool.submit(ask)]
        until(lambda: upstream.calls_of(model))
        until(lambda: model in provider._being_loaded)
        answers += [pool.submit(ask) for _ in range(8)]
        ended = [answer.result() for answer in answers]
    assert all(isinstance(events[-1], Done) for events in ended)
    assert len(upstream.calls_of(model)) == 3 + 9, "three refusals, and each call once"
    assert [event.attempt for event in ended[0] if isinstance(event, AttemptStarted)] == [2, 3, 4]
    for events in ended[1:]:
        assert events[:2] == [Retrying(may_be_billed=False), AttemptStarted(1)], "nothing was sent while it waited"
    assert model not in provider._being_loaded
    provider.close()


@pytest.mark.parametrize("stops", [True, False])
def test_another_call_takes_the_place_of_one_that_gives_up(upstream: Upstream, stops: bool) -> None:
    model = "loading-4" if stops else "loading-6"
    provider = provider_of(upstream)
    first = CallContext(time.monotonic() + (600 if stops else 4), SystemClock())

    def ask(context: CallContext) -> list[ProviderEvent]:
        return list(provider.stream(call(model), context))

    with ThreadPoolExecutor(2) as pool:
        gives_up = pool.submit(ask, first)
        until(lambda: model in provider._being_loaded)
        waits = pool.submit(ask, CallContext(time.monotonic() + 600, SystemClock()))
        if stops:
            first.stop()
        with pytest.raises(errors.Cancelled if stops else errors.UpstreamUnavailable):
            gives_up.result()
        assert isinstance(waits.result()[-1], Done)
    assert model not in provider._being_loaded
    provider.close()


def test_where_another_model_is_left_it_is_asked_at_once(upstream: Upstream) -> None:
    provider, model = provider_of(upstream), NEVER
    stopped = CallContext(time.monotonic() + 600, SystemClock())
    asking = threading.Thread(target=lambda: _until_stopped(provider, model, stopped))
    asking.start()
    until(lambda: model in provider._being_loaded)
    other = CallContext(time.monotonic() + 600, SystemClock())
    other.fallback_left = True
    with pytest.raises(errors.UpstreamUnavailable):
        list(provider.stream(call(model), other))
    stopped.stop()
    asking.join()
    assert model not in provider._being_loaded
    provider.close()


def _until_stopped(provider: ResilientProvider, model: str, context: CallContext) -> None:
    with pytest.raises(errors.Cancelled):
        list(provider.stream(call(model), context))


def test_a_call_that_the_server_keeps_for_a_while_was_taken() -> None:
    """Its first text may come a minute later."""
    timer = HandTimer(1000)
    models, context = LoadingModels(timer, lambda low, _high: low), SkippedPauses(timer)
    prober, waits = Turn(models, "m", context), Turn(models, "m", context)
    prober.refused(errors.UpstreamLoading("loading"))
    prober.wait()
    waits.wait()
    assert context.pauses_s[0] == 0.25
    assert sum(context.pauses_s[1:]) > 1
    waits.refused(errors.UpstreamLoading("loading"))  # it was only slow to say so
    prober.refused(errors.UpstreamLoading("loading"))
    waits.leave()
    assert "m" in models.models, "the prober still asks"
    prober.leave()
    assert "m" not in models.models


def test_the_time_that_the_server_names_is_waited() -> None:
    timer = HandTimer(1000)
    models, context = LoadingModels(timer, lambda low, _high: low), SkippedPauses(timer, 60)
    turn = Turn(models, "m", context)
    turn.refused(errors.UpstreamLoading("loading", retry_after_s=5))
    turn.wait()
    assert context.pauses_s == [5]
    turn.refused(errors.UpstreamLoading("loading", retry_after_s=20))
    with pytest.raises(errors.UpstreamLoading) as raised:
        turn.wait()
    assert raised.value.retry_after_s == 20
    turn.leave()
    assert "m" not in models.models


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        {"error": "Model org/name is currently loading", "estimated_time": 20.0},
        {"error": {"message": "", "code": "model_loading"}},
        {"error": {"message": "The engine is not ready", "code": 503}},
        {"detail": "The model has not been loaded yet"},
        {"detail": "Model is still initializing"},
        {"detail": "The model is not loaded yet."},
        {"message": "The server is starting up."},
        "Loading model",
    ],
)
def test_words_of_servers_that_load(body: object) -> None:
    assert type(from_status(503, {}, body)) is errors.UpstreamLoading
    assert type(from_status(500, {}, body)) is errors.UpstreamError


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"error": {"message": "The server is overloaded. Please reduce the load.", "type": "overloaded_error"}},
        {"error": {"message": None, "code": 503}},
        "<html>loading</html>",
    ],
)
def test_words_of_servers_that_do_not(body: object) -> None:
    assert type(from_status(503, {}, body)) is errors.UpstreamError
    assert type(from_status(503, {"retry-after": "7"}, body)) is errors.UpstreamUnavailable


def test_a_stream_may_say_it_too() -> None:
    told = {"error": {"code": 503, "message": "Loading model"}}
    assert type(from_error_object(told)) is errors.UpstreamLoading
