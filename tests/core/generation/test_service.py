"""The generation service: misses, hits, shared calls."""

import threading
from dataclasses import replace

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.core import errors
from llm_service.core.generation.model import (
    CacheMode,
    Delta,
    Status,
)
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import ASKED, DONE, WORD, World, heard


def test_a_miss_then_a_hit() -> None:
    world = World(ScriptedProvider(*WORD))
    first, second = world.run(), world.run()
    assert (first.generation.cached, first.stored_in_cache, second.generation.cached) == (False, True, True)
    assert (first.generation.cost_usd, first.generation.saved_usd) == (3, 0)
    assert (second.generation.cost_usd, second.generation.saved_usd) == (0, 3)
    assert (first.generation.billed, second.generation.billed) == (Usage(1, 2, 3), NO_TOKENS)
    assert first.generation.price_version == second.generation.price_version == "list 1"
    assert second.generation.usage == first.generation.usage == Usage(1, 2, 3)
    assert second.generation.output == "ab"
    assert second.generation.answer_id == first.generation.request_id != second.generation.request_id
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    assert world.store.writes == [("start", "running"), ("finish", "completed"), ("hit", "completed")]


def test_the_row_is_there_before_the_call_and_the_outcome_before_the_end() -> None:
    begins, ends = threading.Event(), threading.Event()
    world = World(ScriptedProvider(begins, Delta("a"), ends, Delta("b"), DONE))
    subscription = world.begin()
    assert world.store.writes == [("start", "running")]
    assert subscription.next(0.01) is None
    begins.set()
    assert subscription.next(30) == Delta("a")
    assert world.store.writes == [("start", "running")]
    ends.set()
    assert heard(subscription)[0] == "b"
    assert world.store.writes[-1] == ("finish", "completed")


def test_unknown_usage_stays_unknown() -> None:
    world = World(ScriptedProvider(replace(DONE, usage=Usage())))
    first, second = world.run().generation, world.run().generation
    assert first.usage == second.usage == first.billed == Usage()
    assert (first.cost_usd, first.saved_usd, first.price_version) == (None, 0, None)
    assert (second.cost_usd, second.saved_usd) == (0, None)


@pytest.mark.parametrize(
    ("mode", "looked_up", "stored"),
    [(CacheMode.DEFAULT, True, True), (CacheMode.NO_CACHE, False, True), (CacheMode.NO_STORE, False, False)],
)
def test_cache_modes(mode: CacheMode, looked_up: bool, stored: bool) -> None:
    world = World(ScriptedProvider(*WORD))
    assert world.run(replace(ASKED, cache_mode=mode)).stored_in_cache is stored
    world.run()
    assert world.run(replace(ASKED, cache_mode=mode)).generation.cached is looked_up


def test_the_cache_belongs_to_one_owner_unless_it_is_shared() -> None:
    for share, cached in ((False, False), (True, True)):
        world = World(ScriptedProvider(*WORD), share_cache=share)
        world.run(owner="alice")
        assert world.run(owner="bob").generation.cached is cached


def test_an_incomplete_answer_is_answered_and_not_cached() -> None:
    done = replace(DONE, status=Status.INCOMPLETE, incomplete_reason="max_output_tokens")
    world = World(ScriptedProvider(Delta("ab"), done))
    first = world.run()
    assert (first.generation.status, first.generation.incomplete_reason) == (Status.INCOMPLETE, "max_output_tokens")
    assert world.run().generation.cached is False


def test_bad_input_reaches_neither_history_nor_provider() -> None:
    world = World(ScriptedProvider(*WORD))
    for asked, error in [
        (replace(ASKED, template_id="nope_v1"), errors.UnknownTemplate),
        (replace(ASKED, parameters={"tone": "loud"}), errors.InvalidInput),
        (replace(ASKED, input="a\x00"), errors.InvalidCharacter),
        (replace(ASKED, model="m3"), errors.UnknownModel),
    ]:
        with pytest.raises(error):
            world.run(asked)
    assert (world.store.writes, world.provider.calls) == ([], [])  # type: ignore[attr-defined]


def test_what_was_deleted_while_it_ran_is_not_cached() -> None:
    world = World(ScriptedProvider(*WORD))
    world.store.deleted_meanwhile = True
    assert world.run().stored_in_cache is False
    assert world.cache.stats().entries == 0


def test_a_hit_from_other_values_keeps_its_own_texts() -> None:
    world = World(ScriptedProvider(*WORD))
    world.run(replace(ASKED, parameters={}))
    hit = world.run(replace(ASKED, parameters={"tone": "neutral"})).generation
    assert (hit.cached, hit.answer_id) == (True, hit.request_id)


def test_the_caller_is_blamed_for_a_model_only_if_it_was_the_callers_choice() -> None:
    world = World(ScriptedProvider(errors.UpstreamModelUnknown("no such model")))
    with pytest.raises(errors.UnknownModel):
        world.run(replace(ASKED, model="m2"))
    with pytest.raises(errors.UpstreamModelUnknown):
        world.run()
    assert [row.error for row in world.store.rows.values()] == ["unknown-model", "upstream-misconfigured"]


def test_the_echo_says_what_it_is() -> None:
    finished = World(EchoProvider()).run()
    assert (finished.generation.output or "").startswith("Echo (no model was asked): ")
    cut = World(EchoProvider(), max_output_tokens=3).run().generation
    assert (cut.status, cut.usage.output_tokens, cut.incomplete_reason) == (Status.INCOMPLETE, 3, "max_output_tokens")


def test_those_who_ask_the_same_at_the_same_time_share_one_call() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leader = world.begin()
    assert leader.next(30) == Delta("a")
    others = [world.begin() for _ in range(3)]
    assert others[0].next(30) == Delta("a"), "who joins receives what has come"
    goes_on.set()
    ends = [heard(subscription) for subscription in (leader, *others)]
    assert [text for text, _ in ends] == ["b", "b", "ab", "ab"]
    assert [end.collapsed for _, end in ends] == [False, True, True, True]
    assert [end.generation.cost_usd for _, end in ends] == [3, 0, 0, 0]
    assert len({end.generation.request_id for _, end in ends}) == 4
    assert {end.generation.answer_id for _, end in ends} == {"id-1"}
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    assert world.cache.stats().coalesced == 3


def test_the_provider_receives_the_messages_the_model_and_the_options() -> None:
    world = World(ScriptedProvider(*WORD), max_output_tokens=77)
    done = world.run(replace(ASKED, model="m2")).generation
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert (call.model, call.messages) == ("m2", done.messages)
    assert [message.role for message in call.messages] == ["system", "user"]
    assert call.messages[1].text == "Hello"
    assert call.options["max_output_tokens"] == 77


@pytest.mark.parametrize("mode", [CacheMode.NO_CACHE, CacheMode.NO_STORE])
def test_who_wants_no_cache_shares_nothing(mode: CacheMode) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(goes_on, *WORD))
    subscriptions = [world.begin(replace(ASKED, cache_mode=mode)) for _ in range(2)]
    goes_on.set()
    assert [heard(subscription)[1].collapsed for subscription in subscriptions] == [False, False]
    assert len(world.provider.calls) == 2  # type: ignore[attr-defined]


def test_above_the_slots_it_is_overloaded_and_hits_are_not() -> None:
    goes_on = threading.Event()
    goes_on.set()
    world = World(ScriptedProvider(goes_on, *WORD), slots=1)
    world.run()
    goes_on.clear()
    waiting = world.begin(replace(ASKED, input="another"))
    with pytest.raises(errors.Overloaded):
        world.run(replace(ASKED, input="a third"))
    assert len(world.store.rows) == 2, "nothing is stored of what was refused"
    assert world.run().generation.cached
    joins = world.begin(replace(ASKED, input="another"))
    goes_on.set()
    assert heard(waiting)[0] == heard(joins)[0] == "ab"
    until(lambda: world.slots.in_use == 0)


def test_an_answer_that_was_deleted_in_another_process_is_no_hit() -> None:
    world = World(EchoProvider())
    first = world.run().generation
    world.store.deleted.add(first.request_id)
    again = world.run()
    assert (again.generation.cached, again.stored_in_cache) == (False, True)
    assert world.run().generation.cached
