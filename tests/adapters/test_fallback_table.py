"""Two servers, what can go wrong at the first one, and whether the second one is asked: calls are counted at both."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_api.wire import Wire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.core.errors import ServiceError, UpstreamError
from llm_service.core.generation.model import Generation, Status
from tests.support.upstream import Upstream
from tests.support.world import ASKED, World, heard

WIRES: dict[str, Callable[[], Wire]] = {"responses": ResponsesWire, "chat": ChatWire}
# Before the first text: a code, and how often the last of several models is asked. None: its server says when.
BEFORE: dict[str, tuple[str, int | None]] = {
    "fault-429": ("upstream-rate-limited", None),
    "fault-503": ("upstream-unavailable", None),
    "loading-9": ("upstream-unavailable", None),
    "fault-500": ("upstream-error", 3),
    "fault-reset": ("upstream-unreachable", 3),
    "fault-eof-at-start": ("upstream-truncated", 3),
    "fault-401": ("upstream-auth", 1),
    "fault-quota": ("upstream-quota", 1),
    "fault-404": ("upstream-misconfigured", 1),
    "fault-html": ("upstream-invalid-response", 1),
    "fault-redirect": ("upstream-redirect", 1),
}
AFTER = {
    "fault-failed-rate-limit": "upstream-rate-limited",
    "fault-failed": "upstream-error",
    "fault-failed-quota": "upstream-quota",
    "fault-error-event": "upstream-error",
    "fault-eof-after-3": "upstream-truncated",
    "fault-rst-after-3": "upstream-truncated",
    "fault-no-terminal": "upstream-truncated",
    "fault-hang-after-3": "upstream-timeout",
}
CALLERS = ("fault-400", "fault-422", "fault-too-long")
DEADLINE_S = 12.0


class TwoServers:
    """A service whose models are at the first server, except the fallback `then`. The servers know them by these names."""

    def __init__(self, first: Upstream, second: Upstream, model: str, then: str, *, slots: int, wire: str) -> None:
        """`wire`: what the first server speaks; the second speaks the other one."""
        self.servers = (first, second)
        wires = (wire, *(other for other in WIRES if other != wire))
        self.providers = [self._provider(*each) for each in zip(self.servers, ("one", "two"), wires, strict=True)]
        self.model = model
        provider, other = self.providers
        self.world = World(
            provider,  # type: ignore[arg-type]
            models=(f"{model}>{then}",),
            others={then: other},  # type: ignore[dict-item]
            deadline_s=DEADLINE_S,
            slots=slots,
        )

    def _provider(self, server: Upstream, name: str, wire: str) -> ResilientProvider:
        provider = ApiProvider(WIRES[wire](), name=name, api_key="key", base_url=server.base_url, idle_timeout_s=0.4)
        return ResilientProvider(provider, slots=10, jitter=lambda _low, _high: 0.0)

    def ask(self) -> Generation:
        """Its row, whatever it ended with."""
        with suppress(ServiceError):
            self.world.run(replace(ASKED, model=self.model))
        return list(self.world.store.rows.values())[-1]

    @property
    def calls(self) -> list[int]:
        return [len(server.calls) for server in self.servers]

    def close(self) -> None:
        for provider in self.providers:
            provider.close()


MakeTwo = Callable[..., TwoServers]


@pytest.fixture(name="make_two")
def _make_two() -> Iterator[MakeTwo]:
    made: list[TwoServers] = []
    with Upstream() as first, Upstream() as second:

        def make(model: str, then: str = "second", *, slots: int = 10, wire: str = "responses") -> TwoServers:
            made.append(TwoServers(first, second, model, then, slots=slots, wire=wire))
            return made[-1]

        yield make
        for two in made:
            two.close()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", BEFORE)
def test_before_the_first_text_the_second_is_asked_after_one_attempt(make_two: MakeTwo, model: str, wire: str) -> None:
    two = make_two(model, wire=wire)
    row = two.ask()
    assert (row.status, row.output, row.model, row.provider) == (Status.COMPLETED, "Answer to: Hello", "second", "two")
    assert two.calls == [1, 1]
    ((tried, code),) = [(tried.model, tried.error) for tried in row.fallbacks]
    assert (tried, code) == (model, BEFORE[model][0])
    assert [provider.bulkhead.in_use for provider in two.providers] == [0, 0]


def test_a_server_that_says_nothing_has_half_of_the_time(make_two: MakeTwo) -> None:
    two = make_two("fault-hang")
    row = two.ask()
    assert (row.output, row.model, two.calls) == ("Answer to: Hello", "second", [1, 1])
    assert [tried.error for tried in row.fallbacks] == ["upstream-timeout"]


def test_a_server_that_began_has_all_of_the_time(make_two: MakeTwo) -> None:
    """Its half is over long before its last word."""
    two = make_two("tokens-80-10")
    assert (two.ask().output, two.calls) == ("word " * 80, [1, 0])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", AFTER)
def test_after_the_first_text_the_second_is_not_asked(make_two: MakeTwo, model: str, wire: str) -> None:
    two = make_two(model, wire=wire)
    row = two.ask()
    assert (row.status, row.error, row.model, row.fallbacks) == (Status.FAILED, AFTER[model], model, ())
    assert (bool(row.output), two.calls) == (True, [1, 0])


@pytest.mark.parametrize("model", CALLERS)
def test_the_callers_own_fault_is_told_at_once(make_two: MakeTwo, model: str) -> None:
    two = make_two(model)
    assert (two.ask().model, two.calls) == (model, [1, 0])


@pytest.mark.parametrize("then", [model for model, (_code, attempts) in BEFORE.items() if attempts])
def test_the_last_one_is_asked_as_if_it_were_alone(make_two: MakeTwo, then: str) -> None:
    two = make_two("fault-502", then)
    row = two.ask()
    code, attempts = BEFORE[then]
    assert attempts
    assert (row.status, row.error, row.model, row.provider) == (Status.FAILED, code, then, "two")
    assert (two.calls, row.attempts) == ([1, attempts], 1 + attempts)


def test_an_open_breaker_costs_no_call(make_two: MakeTwo) -> None:
    two = make_two("fault-500")
    two.ask()
    while two.calls[0] < 30:
        asked = two.calls[0]
        two.ask()
        if two.calls[0] == asked:
            break
    assert two.calls[0] < 30, "it never opened"
    two.world.cache.clear()
    before = two.calls
    row = two.ask()
    assert (row.output, two.calls) == ("Answer to: Hello", [before[0], before[1] + 1])
    assert [tried.error for tried in row.fallbacks] == ["upstream-unavailable"]


def test_no_slot_costs_no_call(make_two: MakeTwo) -> None:
    two = make_two("normal", slots=0)
    two.providers[1].bulkhead.size = 1
    assert (two.ask().model, two.calls) == ("second", [0, 1])


@pytest.mark.parametrize("model", ["fault-503", "fault-hang-after-3"])
def test_who_reads_the_stream_sees_one_text(make_two: MakeTwo, model: str) -> None:
    two = make_two(model)
    subscription = two.world.begin(replace(ASKED, model=model))
    try:
        text = heard(subscription)[0]
    except UpstreamError:
        assert (subscription.position, two.calls) == (len("part1 part2 part3 "), [1, 0])
    else:
        assert (text, two.calls) == ("Answer to: Hello", [1, 1])
        assert subscription.generation.model == "second", "the start of the stream, which is sent with the first text"
    subscription.close()
