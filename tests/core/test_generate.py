"""The main job with the real echo provider, the real memory cache, and a history that keeps everything in a list."""

import threading
import time
from dataclasses import replace

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.core import errors
from llm_service.core.generation.model import (
    Billed,
    CacheMode,
    Delta,
    Generation,
    Retrying,
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
    assert world.history.writes == [("start", "running"), ("finish", "completed"), ("hit", "completed")]


def test_the_row_is_there_before_the_call_and_the_outcome_before_the_end() -> None:
    begins, ends = threading.Event(), threading.Event()
    world = World(ScriptedProvider(begins, Delta("a"), ends, Delta("b"), DONE))
    subscription = world.begin()
    assert world.history.writes == [("start", "running")]
    assert subscription.next(0.01) is None
    begins.set()
    assert subscription.next(5) == Delta("a")
    assert world.history.writes == [("start", "running")]
    ends.set()
    assert heard(subscription)[0] == "b"
    assert world.history.writes[-1] == ("finish", "completed")


def test_unknown_usage_stays_unknown() -> None:
    world = World(ScriptedProvider(replace(DONE, usage=Usage())))
    first, second = world.run().generation, world.run().generation
    assert first.usage == second.usage == first.billed == Usage()
    assert (first.cost_usd, first.saved_usd, first.price_version) == (None, 0, None)
    assert (second.cost_usd, second.saved_usd) == (0, None)


def test_every_attempt_that_reported_tokens_is_billed() -> None:
    """The answer's own counts, and what the cache saves, are those of the last attempt."""
    world = World(ScriptedProvider(Billed(Usage(5, 1, 6, 4)), Retrying(2), Billed(Usage()), Retrying(3), *WORD))
    paid, hit = world.run().generation, world.run().generation
    assert (paid.usage, paid.billed) == (Usage(1, 2, 3), Usage(6, 3, 9, 4))
    assert (paid.cost_usd, paid.saved_usd) == (4 + 3, 0)
    assert (hit.usage, hit.cost_usd, hit.saved_usd) == (Usage(1, 2, 3), 0, 3)


def test_a_failure_that_reported_tokens_is_billed() -> None:
    world = World(ScriptedProvider(Delta("a"), Billed(Usage(5, 1)), errors.UpstreamError("broke")))
    with pytest.raises(errors.UpstreamError):
        world.run()
    (row,) = world.history.rows.values()
    assert (row.status, row.usage, row.billed, row.cost_usd) == (Status.FAILED, Usage(5, 1), Usage(5, 1), 6)


def test_who_shares_a_call_pays_nothing_and_saves_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(), world.begin()
    begins.set()
    paid, shared = heard(leads)[1].generation, heard(joins)[1].generation
    assert (paid.cost_usd, paid.saved_usd, paid.billed) == (3, 0, Usage(1, 2, 3))
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 3, NO_TOKENS)
    assert shared.usage == paid.usage


def test_who_shares_a_call_that_fails_pays_and_saves_nothing() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, errors.UpstreamError("broke")))
    leads, joins = world.begin(), world.begin()
    begins.set()
    for subscription in (leads, joins):
        with pytest.raises(errors.UpstreamError):
            heard(subscription)
    paid, shared = world.history.rows.values()
    assert (paid.cost_usd, paid.billed) == (None, Usage()), "nobody knows"
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 0, NO_TOKENS)


def test_who_stopped_a_call_that_went_on_for_others_still_pays_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(kept=True), world.begin()
    stopped = world.live.cancel("local", leads.generation.request_id)
    assert (stopped.status, stopped.cost_usd, stopped.billed) == (Status.CANCELLED, None, Usage())
    begins.set()
    assert heard(joins)[1].generation.cost_usd == 0
    until(lambda: ("bill late", Status.CANCELLED) in world.history.writes)
    row = world.history.rows[leads.generation.request_id]
    assert (row.cost_usd, row.billed, row.price_version) == (3, Usage(1, 2, 3), "list 1")


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


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.UpstreamTruncated("cut"), "upstream-truncated"), (ZeroDivisionError(), "internal-error")],
)
def test_a_failure_is_recorded_with_what_came_and_never_cached(error: Exception, code: str) -> None:
    world = World(ScriptedProvider(Delta("par"), Delta("tial"), error))
    with pytest.raises(errors.ServiceError) as raised:
        world.run()
    assert raised.value.code == code
    assert world.heard.bugs == ([] if isinstance(error, errors.ServiceError) else [error])
    row = world.history.rows["id-1"]
    assert (row.status, row.error, row.output, row.usage) == (Status.FAILED, code, "partial", Usage())
    assert row.finished_ms is not None
    assert world.cache.stats().entries == 0
    assert world.provider.closed == 1  # type: ignore[attr-defined]


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
    assert (world.history.writes, world.provider.calls) == ([], [])  # type: ignore[attr-defined]


def test_what_was_deleted_while_it_ran_is_not_cached() -> None:
    world = World(ScriptedProvider(*WORD))
    world.history.deleted_meanwhile = True
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
    assert [row.error for row in world.history.rows.values()] == ["unknown-model", "upstream-misconfigured"]


def test_options_and_model_are_sent() -> None:
    world = World(ScriptedProvider(*WORD), max_output_tokens=50)
    world.run(replace(ASKED, model="m2"))
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert (call.model, call.options) == ("m2", {"max_output_tokens": 50})


def test_the_echo_says_what_it_is() -> None:
    finished = World(EchoProvider()).run()
    assert (finished.generation.output or "").startswith("Echo (no model was asked): ")
    cut = World(EchoProvider(), max_output_tokens=3).run().generation
    assert (cut.status, cut.usage.output_tokens, cut.incomplete_reason) == (Status.INCOMPLETE, 3, "max_output_tokens")


# -- shared calls


def test_those_who_ask_the_same_at_the_same_time_share_one_call() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leader = world.begin()
    assert leader.next(5) == Delta("a")
    others = [world.begin() for _ in range(3)]
    assert others[0].next(5) == Delta("a"), "who joins receives what has come"
    goes_on.set()
    ends = [heard(one) for one in (leader, *others)]
    assert [text for text, _ in ends] == ["b", "b", "ab", "ab"]
    assert [end.collapsed for _, end in ends] == [False, True, True, True]
    assert [end.generation.cost_usd for _, end in ends] == [3, 0, 0, 0]
    assert len({end.generation.request_id for _, end in ends}) == 4
    assert {end.generation.answer_id for _, end in ends} == {"id-1"}
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    assert world.cache.stats().coalesced == 3


@pytest.mark.parametrize("mode", [CacheMode.NO_CACHE, CacheMode.NO_STORE])
def test_who_wants_no_cache_shares_nothing(mode: CacheMode) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(goes_on, *WORD))
    subscriptions = [world.begin(replace(ASKED, cache_mode=mode)) for _ in range(2)]
    goes_on.set()
    assert [heard(one)[1].collapsed for one in subscriptions] == [False, False]
    assert len(world.provider.calls) == 2  # type: ignore[attr-defined]


def test_a_leaders_failure_is_everyones() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(goes_on, errors.UpstreamRateLimited("slower", retry_after_s=7)))
    subscriptions = [world.begin() for _ in range(3)]
    goes_on.set()
    for subscription in subscriptions:
        with pytest.raises(errors.UpstreamRateLimited) as raised:
            subscription.result(5)
        assert raised.value.retry_after_s == 7
    assert {row.status for row in world.history.rows.values()} == {Status.FAILED}
    assert world.cache.stats().entries == 0


def test_a_leader_that_leaves_does_not_hurt_the_others() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leader, other = world.begin(), world.begin()
    assert leader.next(5) == Delta("a")
    leader.close()
    world.runs.tick()
    assert world.history.rows["id-1"].status is Status.CANCELLED
    assert world.history.rows["id-1"].output == "a"
    goes_on.set()
    assert heard(other)[0] == "ab"
    assert world.run().generation.cached, "its answer was stored all the same"


def test_when_the_last_leaves_the_call_is_closed_after_the_grace() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()), grace_s=0.1)
    subscription = world.begin()
    assert subscription.next(5) == Delta("a")
    subscription.close()
    world.runs.tick()
    assert world.history.rows["id-1"].status is Status.RUNNING
    time.sleep(0.11)
    world.runs.tick()
    until(lambda: world.slots.taken == 0)
    row = world.history.rows["id-1"]
    assert (row.status, row.error, row.output, len(world.runs)) == (Status.CANCELLED, "cancelled", "a", 0)


@pytest.mark.parametrize(("kept", "grace_s"), [(True, 0.0), (False, None)])
def test_what_is_kept_goes_on_without_listeners(kept: bool, grace_s: float | None) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE), grace_s=grace_s)
    world.begin(kept=kept).close()
    world.runs.tick()
    goes_on.set()
    until(lambda: world.history.rows["id-1"].status is Status.COMPLETED)


def test_cancel_ends_it_with_what_it_has_and_once() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(5) == Delta("a")
    for _ in range(2):
        row = world.live.cancel("local", "id-1")
        assert (row.status, row.output) == (Status.CANCELLED, "a")
    with pytest.raises(errors.Cancelled):
        subscription.next(5)
    until(lambda: world.slots.taken == 0)
    assert world.history.writes == [("start", "running"), ("finish", "cancelled")]
    with pytest.raises(errors.NotFound):
        world.live.cancel("local", "id-77")


@pytest.mark.parametrize(
    ("after", "rest"), [(0, "h\u00e9llo \U0001f600 world"), (3, "lo \U0001f600 world"), (7, " world"), (99, " world")]
)
def test_a_position_is_kept_however_the_text_was_cut(after: int, rest: str) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("h\u00e9llo "), Delta("\U0001f600"), goes_on, Delta(" world"), DONE))
    subscription = world.begin()
    until(lambda: world.runs.get("local", "id-1").flight.text_after(6) != "")  # type: ignore[union-attr]
    joined = world.live.listen("local", "id-1", after)
    goes_on.set()
    assert heard(subscription)[0] == "h\u00e9llo \U0001f600 world"
    assert (heard(joined)[0], joined.position) == (rest, 13)


def test_a_retry_may_begin_anew_only_while_nobody_has_seen_the_text() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("half"), goes_on, Retrying(2), Delta("a"), Delta("b"), DONE))
    leader, seeing = world.begin(), world.begin()
    assert seeing.next(5) == Delta("half")
    goes_on.set()
    with pytest.raises(errors.UpstreamTruncated):
        heard(seeing)
    assert heard(leader)[0] == "ab"
    assert world.history.rows["id-1"].attempts == 2


def test_above_the_slots_it_is_overloaded_and_hits_are_not() -> None:
    goes_on = threading.Event()
    goes_on.set()
    world = World(ScriptedProvider(goes_on, *WORD), slots=1)
    world.run()
    goes_on.clear()
    waiting = world.begin(replace(ASKED, input="another"))
    with pytest.raises(errors.Overloaded):
        world.run(replace(ASKED, input="a third"))
    assert len(world.history.rows) == 2, "nothing is stored of what was refused"
    assert world.run().generation.cached
    joins = world.begin(replace(ASKED, input="another"))
    goes_on.set()
    assert heard(waiting)[0] == heard(joins)[0] == "ab"
    until(lambda: world.slots.taken == 0)


def test_going_down() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin(kept=True)
    assert subscription.next(5) == Delta("a")
    world.runs.shut_down(time.monotonic() + 0.2)
    with pytest.raises(errors.ShuttingDown):
        world.begin(replace(ASKED, input="another"))
    world.runs.tick()
    assert len(world.runs) == 1, "it has its grace"
    world.runs.drain(time.sleep)
    with pytest.raises(errors.ShuttingDown):
        subscription.next(5)
    row = world.history.rows["id-1"]
    assert (row.status, row.error, row.output) == (Status.INTERRUPTED, "shutting-down", "a")


def test_a_row_that_another_process_cancelled_ends_the_run_here() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(5) == Delta("a")
    world.history.rows["id-1"] = replace(world.history.rows["id-1"], status=Status.CANCELLED)
    time.sleep(1.01)
    world.runs.tick()
    with pytest.raises(errors.Cancelled):
        subscription.next(5)


def test_a_provider_that_ignores_its_deadline_is_hung_up_on() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()), deadline_s=0.05)
    subscription = world.begin()
    assert subscription.next(5) == Delta("a")
    time.sleep(1.1)
    world.runs.tick()
    with pytest.raises(errors.DeadlineExceeded):
        subscription.next(5)


@pytest.mark.parametrize("early", [False, True])
def test_whoever_listens_gets_an_end_also_when_storing_it_breaks(early: bool) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, DONE))
    subscription = world.begin()
    assert subscription.next(5) == Delta("a")

    def broken(_generation: Generation) -> bool:
        raise ZeroDivisionError

    world.history.finish = broken  # type: ignore[method-assign]
    if early:
        world.runs.interrupt_all()
    goes_on.set()
    with pytest.raises(errors.ServiceError) as raised:
        subscription.next(5)
    assert raised.value.code == "internal-error"
    assert [type(unexpected_error) for unexpected_error in world.heard.bugs] == [ZeroDivisionError]
    until(lambda: len(world.runs) == 0)


def test_an_answer_that_was_deleted_in_another_process_is_no_hit() -> None:
    world = World(EchoProvider())
    first = world.run().generation
    world.history.deleted.add(first.request_id)
    again = world.run()
    assert (again.generation.cached, again.stored_in_cache) == (False, True)
    assert world.run().generation.cached


@pytest.mark.parametrize("members", [1, 2])
def test_what_is_stopped_while_the_store_is_away_is_kept_aside_and_said_so(members: int) -> None:
    world = World(ScriptedProvider(Delta("some text"), threading.Event()))
    subscriptions = [world.begin(kept=True) for _ in range(members)]
    assert all(isinstance(subscription.next(5), Delta) for subscription in subscriptions)
    world.history.away = True
    with pytest.raises(errors.StorageUnavailable, match="could not be stored just now"):
        world.runs.cancel(world.runs.of_owner("local")[0])
    (kept,) = world.spool.kept
    assert (kept.status, kept.output) == (Status.CANCELLED, "some text")
    world.history.away = False
    world.outcomes.replay()
    row = world.history.rows[kept.request_id]
    assert (row.status, row.output, row.answer_id) == (Status.CANCELLED, "some text", kept.answer_id)
    assert (row.answer_id != row.request_id) is (members == 2), "texts that are shared stay as they are"
    for subscription in subscriptions:
        subscription.close()
