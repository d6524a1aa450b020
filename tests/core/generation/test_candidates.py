"""A call that several models may answer: who is asked, when, and what is kept of those that failed.

Longer than other modules: all of it needs the same models.
"""

import threading
from collections.abc import Generator
from dataclasses import replace
from decimal import Decimal

import pytest

from llm_service.core import errors
from llm_service.core.errors import ServiceError, all_errors
from llm_service.core.generation.accounting import parts_of
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import (
    Billed,
    CacheMode,
    Delta,
    Generation,
    ProviderCall,
    ProviderEvent,
    Status,
)
from llm_service.core.generation.tried_models import TriedModel
from llm_service.core.usage.tokens import NO_TOKENS, NOT_REPORTED, Usage
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import ASKED, WORD, World, heard

# The codes of failures that another model may make good.
GO_ON = {
    "upstream-error", "upstream-unreachable", "upstream-tls", "upstream-auth", "upstream-quota", "upstream-redirect",
    "upstream-rate-limited", "upstream-unavailable", "upstream-timeout", "upstream-truncated",
    "upstream-invalid-response", "upstream-misconfigured", "overloaded",
}  # fmt: skip
BUSY = errors.UpstreamRateLimited("busy", retry_after_s=30)
BROKEN = errors.UpstreamError("broke")


class Named(ScriptedProvider):
    """With a name, and a deadline and a `fallback_left` for each call that it saw."""

    def __init__(self, name: str, *events: ProviderEvent | Exception | threading.Event) -> None:
        super().__init__(*events)
        self.name = name
        self.identity = f"{name}:1"
        self.seen: list[tuple[float, bool]] = []

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        for event in super().stream(call, context):
            self.seen.append((context.deadline, context.fallback_left))
            yield event


def three(*events: tuple[object, ...], **more: object) -> tuple[World, list[Named]]:
    """A world whose default model is the first of three, each at a provider of its own with these events."""
    providers = [Named(f"p{number}", *each) for number, each in enumerate(events, 1)]  # type: ignore[arg-type]
    names = [f"m{number}" for number in range(1, len(providers) + 1)]
    others = dict(zip(names, providers, strict=True))
    return World(providers[0], models=(">".join(names), "m2"), others=others, **more), providers  # type: ignore[arg-type]


def calls(providers: list[Named]) -> list[int]:
    return [len(provider.calls) for provider in providers]


def failed(world: World, kind: type[ServiceError]) -> Generation:
    with pytest.raises(kind):
        world.run()
    return list(world.store.rows.values())[-1]


@pytest.mark.parametrize("kind", sorted(all_errors(), key=str))
def test_the_next_model_is_asked_if_the_fault_is_not_the_callers_and_no_text_came(kind: type[ServiceError]) -> None:
    error = errors.Failure(kind.__name__, "broke").error()
    world, providers = three((error,), WORD)
    goes_on = kind.code in GO_ON
    try:
        row = world.run().generation
    except ServiceError:
        assert not goes_on
    else:
        assert (row.output, row.model) == ("ab", "m2")
    assert calls(providers) == [1, int(goes_on)]
    world, providers = three((Delta("a"), error), WORD)
    assert failed(world, ServiceError).output == "a"
    assert calls(providers) == [1, 0], "never after the first text"
    assert world.slots.in_use == providers[1].bulkhead.in_use == 0  # type: ignore[attr-defined]


def test_the_row_has_who_answered_and_who_was_tried() -> None:
    world, providers = three((BUSY,), (errors.UpstreamAuth("wrong key"),), WORD)
    result = world.run()
    row = result.generation
    assert (row.model, row.provider, row.status) == ("m3", "p3", Status.COMPLETED)
    assert row.fallbacks == (
        TriedModel("m1", "p1", "upstream-rate-limited", attempts=1),
        TriedModel("m2", "p2", "upstream-auth", attempts=1),
    )
    assert (row.attempts, row.unreported, row.cost_usd, row.billed) == (3, 0, 3, Usage(1, 2, 3, 0, 0))
    assert world.store.rows["id-1"] == row
    assert {"fallback-1", "fallback-2", "upstream"} <= result.timings_ms.keys()
    assert [(told.model, error.code) for told, error in world.reporter.fallen_back] == [
        ("m2", "upstream-rate-limited"),
        ("m3", "upstream-auth"),
    ]
    assert [provider.calls[0].model for provider in providers] == ["m1", "m2", "m3"]


def test_one_model_alone_is_called_as_ever() -> None:
    world, providers = three(WORD)
    assert world.run().generation.fallbacks == ()
    assert providers[0].seen[0][1] is False


def test_if_all_fail_the_last_error_is_the_answer() -> None:
    world, providers = three((BUSY,), (BROKEN,), (errors.UpstreamUnreachable("away"),))
    row = failed(world, errors.UpstreamUnreachable)
    assert (row.model, row.provider, row.error) == ("m3", "p3", "upstream-unreachable")
    assert [tried.error for tried in row.fallbacks] == ["upstream-rate-limited", "upstream-error"]
    assert (row.attempts, row.unreported) == (3, 2)
    assert calls(providers) == [1, 1, 1]


def test_a_fallback_that_its_provider_does_not_know_is_not_the_callers_choice() -> None:
    unknown = errors.UpstreamModelUnknown("no such model")
    world, _ = three((unknown,))
    with pytest.raises(errors.UnknownModel):
        world.run(replace(ASKED, model="m1"))
    world, _ = three((BUSY,), (unknown,))
    with pytest.raises(errors.UpstreamModelUnknown):
        world.run(replace(ASKED, model="m1"))


def test_each_has_a_share_of_the_time_until_its_first_text_and_one_attempt_while_another_is_left() -> None:
    world, providers = three((BUSY,), (BROKEN,), (Delta("a"), *WORD), deadline_s=120)
    providers[0].events = (Billed(Usage()), BUSY)
    providers[1].events = (Delta("a"), Delta("b"), WORD[-1])
    start = world.clock.monotonic()
    assert world.run().generation.model == "m2"
    assert providers[0].seen == [(start + 40, True)]
    assert providers[1].seen == [(start + 60, True), (start + 120, True), (start + 120, True)], "with text: all of it"
    providers[1].events = (Billed(Usage()), BROKEN)
    world.run(replace(ASKED, cache_mode=CacheMode.NO_STORE))
    assert providers[2].seen[0] == (start + 120, False)


def test_after_the_deadline_nobody_is_asked() -> None:
    world, providers = three((), WORD)
    late = threading.Event()
    providers[0].events = (late, errors.UpstreamTimeout("silence"))
    subscription = world.begin()
    until(lambda: providers[0].calls)
    world.clock.advance(121)
    late.set()
    with pytest.raises(errors.UpstreamTimeout):
        subscription.result(30)
    assert calls(providers) == [1, 0]


def test_a_call_that_is_stopped_asks_nobody_else() -> None:
    world, providers = three((threading.Event(),), WORD)
    subscription = world.begin(detached=True)
    until(lambda: providers[0].calls)
    world.running.cancel("local", "id-1")
    until(lambda: world.slots.in_use == 0)
    assert (calls(providers), world.store.rows["id-1"].status) == ([1, 0], Status.CANCELLED)
    subscription.close()


# -- the cache


def test_an_answer_is_cached_under_what_was_sent_and_looked_up_before_a_model_is_asked() -> None:
    world, providers = three((BUSY,), WORD)
    first, again, alone = world.run(), world.run(), world.run(replace(ASKED, model="m2"))
    assert calls(providers) == [2, 1]
    assert (first.stored_in_cache, again.stored_in_cache) == (True, False)
    found = again.generation
    assert (found.cached, found.output, found.model, found.provider) == (True, "ab", "m2", "p2")
    assert (found.cost_usd, found.saved_usd, found.usage, found.attempts) == (0, 3, Usage(1, 2, 3), 1)
    assert found.fallbacks == first.generation.fallbacks
    assert found.cache_key == first.generation.cache_key == alone.generation.cache_key
    assert (alone.generation.cached, alone.generation.fallbacks) == (True, ())
    providers[0].events = WORD
    assert world.run().generation.model == "m1"
    assert (world.run().generation.cached, calls(providers)) == (True, [3, 1]), "the first model's answer comes first"


def test_who_wants_a_new_answer_gets_no_cached_one_of_a_fallback() -> None:
    world, providers = three((BUSY,), WORD)
    world.run()
    assert world.run(replace(ASKED, cache_mode=CacheMode.NO_CACHE)).generation.cached is False
    assert calls(providers) == [2, 2]


def test_a_cached_answer_that_was_deleted_is_not_given() -> None:
    world, providers = three((BUSY,), WORD)
    world.run()
    world.store.deleted.add("id-1")
    assert world.run().generation.cached is False
    assert calls(providers) == [2, 2]


# -- one call for identical requests


def test_identical_requests_share_one_call_through_all_models() -> None:
    fails = threading.Event()
    world, providers = three((fails, Billed(Usage(5, 1)), BROKEN), WORD)
    leads, joins = world.begin(), world.begin()
    fails.set()
    paid, shared = heard(leads)[1], heard(joins)[1]
    assert (calls(providers), shared.collapsed) == ([1, 1], True)
    assert paid.generation.fallbacks == (TriedModel("m1", "p1", "upstream-error", 1, 0, Usage(5, 1), Decimal(6)),)
    joined = shared.generation
    assert (joined.model, joined.provider, joined.cache_key) == ("m2", "p2", paid.generation.cache_key)
    assert joined.fallbacks == (TriedModel("m1", "p1", "upstream-error"),), "its bill is that of the first request"
    assert (joined.cost_usd, joined.saved_usd, joined.attempts, joined.cached) == (0, 3, 0, False)


def test_a_request_to_a_fallback_alone_shares_no_call_with_one_that_may_reach_it() -> None:
    fails = threading.Event()
    world, providers = three((fails, BROKEN), WORD)
    both = world.begin()
    alone = world.begin(replace(ASKED, model="m2"))
    assert heard(alone)[1].collapsed is False
    fails.set()
    assert heard(both)[1].generation.cached is True, "the answer of m2 came meanwhile"
    assert calls(providers) == [1, 1]


def test_who_left_a_call_that_went_on_with_another_model_gets_the_whole_bill() -> None:
    fails, answers = threading.Event(), threading.Event()
    world, _ = three((fails, Billed(Usage(5, 1)), BROKEN), (answers, *WORD))
    leads, joins = world.begin(detached=True), world.begin()
    world.running.cancel("local", "id-1")
    assert world.store.rows["id-1"].model == "m1"
    fails.set()
    answers.set()
    assert heard(joins)[1].generation.model == "m2"
    until(lambda: ("amend billing", Status.CANCELLED) in world.store.writes)
    row = world.store.rows["id-1"]
    assert (row.status, row.model, row.billed, row.cost_usd) == (Status.CANCELLED, "m2", Usage(6, 3, 3), 9)
    assert [tried.billed for tried in row.fallbacks] == [Usage(5, 1)]
    assert row.attempts == 2
    sums = [(model, each.requests, each.input_tokens, each.output_tokens) for model, _, each in parts_of(row)]
    assert sums == [("m1", 0, 5, 1), ("m2", 1, 1, 2)]
    leads.close()


# -- slots


def test_a_provider_without_a_slot_is_passed_over() -> None:
    world, providers = three(WORD, WORD, slots=1)
    providers[0].bulkhead.acquire()  # type: ignore[attr-defined]
    row = world.run().generation
    assert (row.model, row.attempts, calls(providers)) == ("m2", 1, [0, 1])
    assert row.fallbacks == (TriedModel("m1", "p1", "overloaded", attempts=0),)
    again = world.run().generation
    assert (again.cached, again.attempts, calls(providers)) == (True, 0, [0, 1])
    assert [provider.bulkhead.in_use for provider in providers] == [1, 0]  # type: ignore[attr-defined]


def test_without_any_slot_nothing_is_stored() -> None:
    world, providers = three(WORD, WORD, slots=0)
    with pytest.raises(errors.Overloaded):
        world.run()
    assert (world.store.rows, calls(providers)) == ({}, [0, 0])


def test_the_slot_moves_with_the_call() -> None:
    goes_on = threading.Event()
    world, providers = three((BUSY,), (goes_on, BROKEN), WORD, slots=1)
    providers[2].bulkhead.acquire()  # type: ignore[attr-defined]
    subscription = world.begin()
    until(lambda: providers[1].calls)
    assert [provider.bulkhead.in_use for provider in providers] == [0, 1, 1]  # type: ignore[attr-defined]
    goes_on.set()
    with pytest.raises(errors.Overloaded):
        subscription.result(30)
    row = world.store.rows["id-1"]
    assert (row.model, row.error, row.attempts, row.unreported) == ("m3", "overloaded", 2, 1)
    assert [provider.bulkhead.in_use for provider in providers] == [0, 0, 1]  # type: ignore[attr-defined]


# -- bills


def test_every_paid_attempt_is_in_the_sums_of_its_provider() -> None:
    world, _ = three((Billed(Usage(5, 1)), BROKEN), (BROKEN,), WORD)
    row = world.run().generation
    assert (row.billed, row.cost_usd, row.unreported, row.attempts) == (Usage(6, 3, 3), 9, 1, 3)
    assert row.usage == Usage(1, 2, 3)
    parts = {(model, provider): sums for model, provider, sums in parts_of(row)}
    first, second, third = parts["m1", "p1"], parts["m2", "p2"], parts["m3", "p3"]
    assert (first.requests, first.input_tokens, first.output_tokens, first.cost_usd) == (0, 5, 1, 6)
    assert (second.requests, second.unknown_usage, second.cost_usd) == (0, 1, 0)
    assert (third.requests, third.completed, third.input_tokens, third.output_tokens, third.cost_usd) == (1, 1, 1, 2, 3)
    assert (first.unknown_usage, third.unknown_usage, third.joined) == (0, 0, 0)


def test_what_a_free_failure_cost_is_known() -> None:
    world, _ = three((BUSY,), WORD)
    assert world.run().generation.fallbacks[0].billed == NO_TOKENS
    world, _ = three((BROKEN,), WORD)
    (tried,) = world.run().generation.fallbacks
    assert (tried.billed, tried.cost_usd, tried.unreported) == (NOT_REPORTED, None, 1)
