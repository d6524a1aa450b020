"""What every provider promises."""

import time
from collections.abc import Iterator

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.wires import WIRES
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Delta, Done, ProviderCall, Status
from llm_service.core.generation.ports import Provider
from tests.support.builders import messages_of
from tests.support.upstream import Upstream


@pytest.fixture(name="provider", params=["echo", *WIRES])
def _provider(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Provider]:
    made: Provider = (
        EchoProvider()
        if request.param == "echo"
        else ApiProvider(WIRES[request.param](), api_key=None, base_url=upstream.base_url, idle_timeout_s=5)
    )
    yield made
    made.close()


CALL = ProviderCall("normal", messages_of("Be brief.", "Hello there,\nworld 😀"), {})


def test_deltas_and_then_exactly_one_done(provider: Provider) -> None:
    *deltas, done = provider.stream(CALL, CallContext(time.monotonic() + 5, SystemClock()))
    assert isinstance(done, Done)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert deltas
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == done.text
    assert done.text.endswith("Hello there,\nworld 😀")
    assert done.status is Status.COMPLETED
    assert (done.usage.input_tokens or 0) > 0


def test_the_same_call_gets_the_same_answer(provider: Provider) -> None:
    assert list(provider.stream(CALL, CallContext(time.monotonic() + 5, SystemClock()))) == list(
        provider.stream(CALL, CallContext(time.monotonic() + 5, SystemClock()))
    )


def test_it_may_be_closed_at_any_time(provider: Provider) -> None:
    events = provider.stream(CALL, CallContext(time.monotonic() + 5, SystemClock()))
    events.close()
    events = provider.stream(CALL, CallContext(time.monotonic() + 5, SystemClock()))
    next(events)
    events.close()
    assert list(events) == []


def test_warming_twice_is_fine(provider: Provider) -> None:
    provider.warm()
    provider.warm()
    assert provider.warmed
    assert provider.health_error() is None


def test_it_has_a_name_and_an_identity(provider: Provider) -> None:
    assert provider.name in provider.identity
