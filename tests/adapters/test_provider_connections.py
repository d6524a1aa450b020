"""The connections of a provider: how long a first text may take, and what is left open after it was closed."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall, ProviderEvent
from tests.support.builders import messages_of
from tests.support.clocks import until
from tests.support.upstream import Upstream


@pytest.fixture(name="server")
def _server() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def provider_of(server: Upstream, **more: Any) -> ApiProvider:
    return ApiProvider(ResponsesWire(), api_key=None, base_url=server.base_url, idle_timeout_s=30, **more)


def events(provider: ApiProvider, model: str = "normal") -> Iterator[ProviderEvent]:
    call = ProviderCall(model, messages_of("", "Hello there"), {})
    return provider.stream(call, CallContext(time.monotonic() + 60, SystemClock()))


@pytest.mark.parametrize("model", ["fault-hang", "slow-30", "fault-slow-headers"])
def test_a_first_text_that_takes_too_long_ends_the_call(server: Upstream, model: str) -> None:
    provider = provider_of(server, first_output_timeout_s=0.3)
    with pytest.raises(errors.UpstreamTimeout):
        list(events(provider, model))
    until(lambda: server.open_connections == 0)


def test_after_the_first_text_only_the_deadline_counts(server: Upstream) -> None:
    provider = provider_of(server, first_output_timeout_s=0.5)
    *_, done = events(provider, "tokens-10-10")
    assert isinstance(done, Done)
    provider.close()


def test_a_closed_provider_closes_idle_connections_at_once(server: Upstream) -> None:
    provider = provider_of(server)
    list(events(provider))
    assert server.open_connections == 1
    provider.close()
    until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("warm", [True, False])
def test_a_closed_provider_ends_its_calls_and_takes_late_ones_but_keeps_nothing_open(
    server: Upstream, *, warm: bool
) -> None:
    provider = provider_of(server)
    running = events(provider, "tokens-5-10") if warm else None
    if running is not None:
        assert isinstance(next(running), Delta)
    provider.close()
    if running is not None:
        assert isinstance(list(running)[-1], Done)
        until(lambda: server.open_connections == 0)
    assert isinstance(list(events(provider))[-1], Done)
    until(lambda: server.open_connections == 0)


def test_a_lasting_error_is_over_with_the_next_answer_also_for_who_stops_reading_at_its_end(server: Upstream) -> None:
    provider = provider_of(server)
    with pytest.raises(errors.UpstreamAuth):
        list(events(provider, "fault-401"))
    assert provider.health_error()
    answer = events(provider)
    assert isinstance(next(answer), Delta)
    answer.close()  # type: ignore[attr-defined]
    assert provider.health_error() is None
    provider.close()
