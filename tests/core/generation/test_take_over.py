"""A generation whose leader is lost makes the call itself: it pays, its own limits apply, and the others get its answer."""

import threading

import pytest

from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.core import errors
from llm_service.core.access.caller import LOCAL, Allowance
from llm_service.core.generation.model import Delta, Status
from llm_service.core.generation.ports import SharedCall
from llm_service.core.generation.service import _fingerprint
from llm_service.core.generation.subscriptions import Subscription
from llm_service.core.limits.errors import RateLimited
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.limits import DictLimits
from tests.support.world import ASKED, DONE, WORD, World, heard


def elsewhere(world: World) -> SharedCall:
    """A call that the world's generations join; its leader runs in another process, as far as the world can tell."""
    key = world.preparer.prepare(ASKED, LOCAL).flight_key
    return world.single_flight.join(key, "id-0", "f")


def lost(call: SharedCall) -> None:
    call.leave("id-0")
    call.give_up()


def begun(world: World, count: int) -> list[Subscription]:
    subscriptions = [world.begin() for _ in range(count)]
    assert {subscription.collapsed for subscription in subscriptions} == {True}
    return subscriptions


def test_one_makes_the_call_again_and_all_get_its_answer() -> None:
    world = World(ScriptedProvider(*WORD))
    call = elsewhere(world)
    subscriptions = begun(world, 5)
    lost(call)
    results = [heard(subscription) for subscription in subscriptions]
    assert [text for text, _ in results] == ["ab"] * 5
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    rows = [result.generation for _, result in results]
    assert [row.answer_id for row in rows] == [row.request_id for row in rows], (
        "its values are others than the leader's"
    )
    payers = [row for row in rows if row.attempts]
    assert [(row.cost_usd, row.saved_usd, row.billed) for row in payers] == [(3, 0, Usage(1, 2, 3))]
    assert {(row.cost_usd, row.saved_usd, row.billed) for row in rows if not row.attempts} == {(0, 3, NO_TOKENS)}
    assert [result.collapsed for _, result in results].count(False) == 1
    assert world.store.writes.count(("begin call", Status.RUNNING)) == 1
    assert world.run().generation.cached, "its answer is cached"
    assert world.reporter.bugs == []
    until(lambda: world.slots.in_use == 0)


def test_who_has_shown_text_goes_on() -> None:
    world = World(ScriptedProvider(*WORD))
    call = elsewhere(world)
    (subscription,) = begun(world, 1)
    call.append("a")
    assert subscription.next(30) == Delta("a")
    lost(call)
    assert heard(subscription)[0] == "b"


def test_who_has_shown_another_text_is_told_and_the_others_are_answered() -> None:
    world = World(ScriptedProvider(*WORD))
    call = elsewhere(world)
    shown, waits = begun(world, 2)
    call.append("x")
    assert shown.next(30) == Delta("x")
    lost(call)
    with pytest.raises(errors.UpstreamTruncated):
        heard(shown)
    assert heard(waits)[0] == "ab"


def test_a_limit_refuses_only_who_has_it_and_another_may_try() -> None:
    """One call at a time is allowed, and another generation of the same caller has it. When that ends, the next may."""
    limits, goes_on = DictLimits(), threading.Event()
    world = World(ScriptedProvider(goes_on, *WORD), counted=limits, everyone=Allowance(concurrent=1), space=None)
    call = elsewhere(world)
    subscriptions = begun(world, 3)
    blocker = world.begin(type(ASKED)("basic_chat_v1", "something else"))
    lost(call)
    for subscription in subscriptions:
        with pytest.raises(RateLimited):
            subscription.result(30)
    assert call.members == 0
    assert not [row for row in world.store.rows.values() if row.attempts and row.request_id != "id-4"]
    goes_on.set()
    assert heard(blocker)[0] == "ab"
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    assert set(limits.reserved) == {"id-4"}


def test_without_a_slot_it_fails_and_nothing_is_reserved() -> None:
    limits, goes_on = DictLimits(), threading.Event()
    world = World(ScriptedProvider(goes_on, *WORD), counted=limits, everyone=Allowance(concurrent=9), slots=1)
    call = elsewhere(world)
    (subscription,) = begun(world, 1)
    blocker = world.begin(type(ASKED)("basic_chat_v1", "something else"))
    lost(call)
    with pytest.raises(errors.Overloaded):
        subscription.result(30)
    goes_on.set()
    heard(blocker)
    assert set(limits.reserved) == {"id-2"}


def test_what_it_reserved_is_settled() -> None:
    limits = DictLimits()
    world = World(ScriptedProvider(*WORD), counted=limits, everyone=Allowance(tokens_per_day=10**9))
    call = elsewhere(world)
    subscriptions = begun(world, 2)
    lost(call)
    for subscription in subscriptions:
        heard(subscription)
    assert len(limits.reserved) == 1
    assert [amount.tokens for amount in limits.settled.values()] == [3]


def test_its_texts_are_not_those_of_the_leader_who_may_live() -> None:
    """Their values are the leader's, whose row has the texts of its own answer."""
    world = World(ScriptedProvider(*WORD), counted=(limits := DictLimits()), everyone=Allowance(tokens_per_day=10**9))
    prepared = world.preparer.prepare(ASKED, LOCAL)
    call = world.single_flight.join(prepared.flight_key, "id-0", _fingerprint(prepared))
    subscriptions = begun(world, 3)
    assert {subscription.generation.answer_id for subscription in subscriptions} == {"id-0"}
    lost(call)
    for subscription in subscriptions:
        row = heard(subscription)[1].generation
        assert row.answer_id == row.request_id == world.store.rows[row.request_id].answer_id
    assert len(limits.settled) == 1
    cached = world.cache.get(prepared.cache_key)
    assert cached is not None
    assert world.store.rows[cached.answer_id].attempts


def test_a_failure_of_its_call_is_everyones() -> None:
    world = World(ScriptedProvider(errors.UpstreamError("broke")))
    call = elsewhere(world)
    subscriptions = begun(world, 3)
    lost(call)
    for subscription in subscriptions:
        with pytest.raises(errors.UpstreamError):
            subscription.result(30)
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]


def test_who_takes_over_and_is_cancelled_leaves_the_call_to_the_others() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    call = elsewhere(world)
    subscriptions = begun(world, 2)
    lost(call)
    until(lambda: call.text_after(0) == "a")
    (payer,) = [request_id for request_id, row in world.store.rows.items() if row.attempts]
    cancelled = world.running.cancel("local", payer)
    assert (cancelled.status, cancelled.output) == (Status.CANCELLED, "a")
    goes_on.set()
    (other,) = [each for each in subscriptions if each.generation.request_id != payer]
    assert heard(other)[0] == "ab"
    until(lambda: world.store.rows[payer].cost_usd == 3)
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]


def test_nobody_takes_over_what_all_have_left() -> None:
    world = World(ScriptedProvider(*WORD))
    call = elsewhere(world)
    (subscription,) = begun(world, 1)
    world.running.cancel("local", subscription.generation.request_id)
    lost(call)
    until(lambda: call.members == 0)
    assert world.provider.calls == []  # type: ignore[attr-defined]


def test_a_call_that_is_lost_again_is_taken_over_again() -> None:
    """The one that leads now stops, as its process does."""
    waits = threading.Event()
    world = World(ScriptedProvider(Delta("a"), waits, Delta("b"), DONE))
    call = elsewhere(world)
    begun(world, 1)
    lost(call)
    until(lambda: call.text_after(0) == "a")
    far = world.single_flight.join(world.preparer.prepare(ASKED, LOCAL).flight_key, "far", "f")
    world.registry.shut_down(world.clock.monotonic())
    world.registry.drain()
    assert far.wait_completed(30) is None
    assert far.take_over("far")
    assert world.store.rows["id-1"].status is Status.INTERRUPTED
    until(lambda: not world.registry.awaits_bills)


def test_the_memory_keeps_no_call_that_is_over() -> None:
    world = World(ScriptedProvider(*WORD))
    call = elsewhere(world)
    subscriptions = begun(world, 3)
    lost(call)
    for subscription in subscriptions:
        heard(subscription)
    assert isinstance(world.single_flight, MemorySingleFlight)
    assert call.members == 0
    assert world.single_flight.join(world.preparer.prepare(ASKED, LOCAL).flight_key, "x", "f").call_id == "x"
