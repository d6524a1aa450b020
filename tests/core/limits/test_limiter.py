"""What limits do to generations: counted in memory, with the real service around them.

Longer than other modules: every limit has the same cases.
"""

import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from llm_service.core import errors
from llm_service.core.access.caller import LOCAL, Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.generation.model import Billed, Delta, Retrying, Status
from llm_service.core.limits.errors import BudgetExhausted, RateLimited
from llm_service.core.limits.limiter import Limiter
from llm_service.core.limits.rules import (
    BUDGET_OUTPUT_TOKENS,
    FREE,
    Account,
    Amount,
    Demand,
    Reservation,
    Tally,
)
from llm_service.core.limits.status import LimitKind
from llm_service.core.usage.pricing import Price, per_million
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import NOW_MS, ManualClock, until
from tests.support.fakes import DollarPrices, ScriptedProvider
from tests.support.limits import DictLimits, Limited
from tests.support.world import ASKED, DONE, WORD, again, heard


def test_a_hit_counts_as_a_generation() -> None:
    world = Limited(*WORD)
    caller = world.caller(generations_per_minute=2)
    assert [world.ask(caller).cached for _ in range(2)] == [False, True]
    with pytest.raises(RateLimited) as raised:
        world.ask(caller)
    assert raised.value.retry_after_s
    assert 0 < raised.value.retry_after_s <= 61
    assert raised.value.limit
    assert (raised.value.limit.kind, raised.value.limit.left) == (LimitKind.GENERATIONS, 0)
    assert len(world.store.rows) == 2, "what is refused is not stored"


def test_a_call_reserves_the_most_and_settles_what_was_billed() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=10_000, usd_per_day=Decimal(10_000), concurrent=1)
    subscription = world.service.begin(ASKED, caller, "id-0")
    most = world.most(caller)
    assert most.tokens > BUDGET_OUTPUT_TOKENS
    assert (world.tally().reserved, world.tally().calls, world.tally().used) == (most, 1, FREE)
    assert [limit.reserved for limit in subscription.limits if limit.kind is LimitKind.TOKENS] == [most.tokens]
    begins.set()
    heard(subscription)
    assert (world.tally().reserved, world.tally().calls, world.tally().used) == (FREE, 0, Amount(3, Decimal(3)))
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert call.options["max_output_tokens"] == BUDGET_OUTPUT_TOKENS, "the bound that was reserved is the one sent"


def test_without_a_budget_nothing_bounds_the_answer() -> None:
    world = Limited(*WORD)
    world.ask(world.caller(generations_per_minute=5, concurrent=5))
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert "max_output_tokens" not in call.options


def test_hits_and_shared_calls_reserve_nothing() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=5000, concurrent=1)
    subscriptions = [world.service.begin(ASKED, caller, f"id-{number}") for number in (101, 102, 103)]
    begins.set()
    assert [heard(subscription)[1].generation.attempts for subscription in subscriptions] == [1, 0, 0]
    assert world.ask(caller).cached
    assert world.tally().used.tokens == 3


def test_a_slot_is_free_again_when_its_call_ends() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(concurrent=1)
    subscription = world.service.begin(ASKED, caller, "id-0")
    with pytest.raises(RateLimited) as raised:
        world.ask(caller, "another")
    assert raised.value.retry_after_s == 1
    assert world.slots.in_use == 1, "the refused one gave its place back"
    begins.set()
    heard(subscription)
    world.ask(caller, "another")


def test_a_budget_says_what_is_left_and_when_to_ask_again() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=5000)
    world.service.begin(ASKED, caller, "id-0")
    with pytest.raises(BudgetExhausted) as raised:
        world.ask(caller, "another")
    assert raised.value.retry_after_s == 5, "what is reserved may be free soon"
    assert "reserved for calls in progress" in raised.value.detail
    begins.set()
    until(lambda: world.tally().reserved == FREE)
    world.counted.tallies["owner:local"] = Tally(used=Amount(4000))
    with pytest.raises(BudgetExhausted) as raised:
        world.ask(caller, "another")
    assert raised.value.retry_after_s == -(-(DAY_MS - NOW_MS % DAY_MS) // 1000), "at the end of the day"
    assert "1,000 tokens of your budget of 5,000 tokens a day are left" in raised.value.detail
    with pytest.raises(BudgetExhausted) as raised:
        world.ask(world.caller(tokens_per_day=100), "another")
    assert raised.value.retry_after_s is None, "it never fits"


def test_money_cannot_be_spent_on_what_has_no_price() -> None:
    world = Limited(*WORD, prices=Unpriced())
    with pytest.raises(errors.UnpricedModel) as raised:
        world.ask(world.caller(usd_per_day=Decimal(1_000_000)))
    assert (raised.value.code, raised.value.fields[0].field) == ("unknown-model", "model")
    assert world.slots.in_use == 0
    assert world.ask(world.caller(tokens_per_day=1_000_000)).output == "ab", "tokens need no price"


class Unpriced:
    def of(self, model: str, provider: str) -> Price | None:
        return None


def test_the_limit_of_everyone_counts_all_owners() -> None:
    world = Limited(*WORD, everyone=Allowance(generations_per_minute=2))
    world.run(owner="alice")
    world.run(owner="bob")
    with pytest.raises(RateLimited) as raised:
        world.run(owner="carol")
    assert raised.value.limit
    assert not raised.value.limit.own
    assert "All callers" in raised.value.detail


@pytest.mark.parametrize(
    ("events", "used"),
    [
        ([errors.UpstreamUnavailable("the circuit is open")], 0),
        ([errors.UpstreamAuth("key")], 0),
        ([errors.UpstreamRejected("too long")], 0),
        ([Delta("a"), errors.UpstreamTruncated("cut")], 1),
        ([errors.UpstreamTimeout("silent")], 1),
        ([ZeroDivisionError()], 1),
        ([Delta("a"), errors.UpstreamQuota("no credit")], 1),
        ([Delta("a"), Billed(Usage(5, 1)), errors.UpstreamError("failed")], Decimal(6)),
    ],
)
def test_a_failure_is_charged_unless_it_surely_cost_nothing(events: list, used: int | Decimal) -> None:  # type: ignore[type-arg]
    """`used` in calls at their most, or in tokens where they were reported."""
    world = Limited(*events)
    caller = world.caller(tokens_per_day=50_000)
    with pytest.raises(errors.ServiceError):
        world.ask(caller)
    until(lambda: world.tally().reserved == FREE)
    expected = used if isinstance(used, Decimal) else used * world.most(caller).tokens
    assert (world.tally().used.tokens, world.tally().calls) == (expected, 0)


def test_an_answer_without_usage_is_charged_at_its_most() -> None:
    world = Limited(replace(DONE, usage=Usage()))
    caller = world.caller(tokens_per_day=50_000, usd_per_day=Decimal(50_000))
    world.ask(caller)
    assert world.tally().used == world.most(caller)


def test_each_attempt_reserves_and_those_that_told_nothing_are_charged() -> None:
    world = Limited(Delta("a"), *again(2), Billed(Usage(5, 1)), *again(3, may_be_billed=False), *WORD)
    caller = world.caller(tokens_per_day=50_000)
    world.ask(caller)
    most = world.most(caller).tokens
    assert world.tally().used.tokens == most + 6 + 3


def test_there_is_no_further_attempt_without_room_for_it() -> None:
    world = Limited(Delta("a"), *again(2), *WORD)
    caller = world.caller(tokens_per_day=5000)
    with pytest.raises(errors.UpstreamTruncated):
        world.ask(caller)
    until(lambda: world.tally().reserved == FREE)
    assert world.tally().used.tokens == world.most(caller).tokens


def test_a_cancelled_call_is_charged_at_its_most() -> None:
    world = Limited(Delta("a"), threading.Event())
    caller = world.caller(tokens_per_day=50_000)
    subscription = world.service.begin(ASKED, caller, "id-0", detached=True)
    assert subscription.next(30) == Delta("a")
    world.running.cancel("local", "id-0")
    assert (world.tally().used.tokens, world.tally().calls) == (world.most(caller).tokens, 0)


def test_who_stops_in_the_pause_before_a_retry_pays_for_no_attempt_that_was_not_sent() -> None:
    world = Limited(Retrying(may_be_billed=False), threading.Event())
    caller = world.caller(tokens_per_day=50_000)
    subscription = world.service.begin(ASKED, caller, "id-0", detached=True)
    until(lambda: len(world.counted.asked) == 2)  # its retry has reserved, too
    until(lambda: world.registry.get("local", "id-0").billing.unreported == 0)  # type: ignore[union-attr]
    world.running.cancel("local", "id-0")
    row = world.store.rows["id-0"]
    assert (row.attempts, row.unreported, world.tally().used, world.tally().reserved) == (1, 0, FREE, FREE)
    subscription.close()


def test_a_bill_that_comes_late_takes_its_place() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=50_000)
    leads = world.service.begin(ASKED, caller, "id-0", detached=True)
    joins = world.service.begin(ASKED, caller, "id-1")
    assert world.running.cancel("local", leads.generation.request_id).status is Status.CANCELLED
    held = world.tally()
    assert (held.used.tokens, held.reserved.tokens, held.calls) == (0, world.most(caller).tokens, 1), "it goes on"
    begins.set()
    heard(joins)
    until(lambda: world.tally().used.tokens == 3)
    assert (world.tally().reserved, world.tally().calls) == (FREE, 0)


def test_stopping_those_who_lead_makes_no_room_for_more_calls() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(concurrent=1)
    leads = world.service.begin(ASKED, caller, "id-0", detached=True)
    joins = world.service.begin(ASKED, caller, "id-1")
    world.running.cancel("local", leads.generation.request_id)
    with pytest.raises(RateLimited):
        world.ask(caller, "another")
    begins.set()
    heard(joins)
    until(lambda: world.tally().calls == 0)
    assert world.ask(caller, "another").status is Status.COMPLETED


def test_a_row_that_cannot_be_stored_takes_nothing() -> None:
    world = Limited(*WORD)
    world.store.away = True
    with pytest.raises(errors.StorageError):
        world.ask(world.caller(tokens_per_day=50_000))
    assert (world.counted.tallies, world.slots.in_use) == ({}, 0)


def test_who_shared_a_refused_call_is_told_to_ask_again() -> None:
    """The limit was another's: between the join and the refusal, someone without one has joined."""
    world = Limited(*WORD)
    joined: list[errors.ServiceError] = []
    caller = replace(LOCAL, key_id="k1", allowance=Allowance(tokens_per_day=10))
    plain = replace(caller, allowance=Allowance(tokens_per_day=1_000_000), key_id="k2")

    def join() -> None:
        subscription = world.service.begin(ASKED, plain, "id-9")

        def listen() -> None:
            try:
                heard(subscription)
            except errors.ServiceError as error:
                joined.append(error)

        threading.Thread(target=listen).start()

    world.store.before_start = join
    with pytest.raises(BudgetExhausted):
        world.ask(caller)
    until(lambda: bool(joined))
    assert [error.code for error in joined] == ["overloaded"]


def test_a_further_attempt_belongs_to_the_day_when_its_call_began() -> None:
    """Another day's room would be asked for what this day is charged."""
    store, account = DictLimits(), Account("key", Allowance(tokens_per_day=100))
    limiter = Limiter(store, DollarPrices(), ManualClock(), expire_s=130)
    demand = Demand(call=True, amount=Amount(40))
    yesterday = Reservation("id-1", (account,), demand, NOW_MS - DAY_MS, NOW_MS)
    store.reserve(yesterday)
    assert limiter.reserve_retry(yesterday)
    first, again = store.asked
    assert (again.now_ms, again.demand.call) == (first.now_ms, False)


# -- several models


class PriceOf:
    """As many dollars a token as the model's number."""

    def of(self, model: str, _provider: str) -> Price | None:
        usd = Decimal(1_000_000) * int(model[1:])
        return Price("list", per_million(usd, usd, usd)) if usd else None


def test_a_call_reserves_for_its_most_expensive_model() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD, prices=PriceOf(), models=("m1>m3>m2",))
    caller = world.caller(tokens_per_day=10_000, usd_per_day=Decimal(30_000))
    subscription = world.service.begin(ASKED, caller, "id-0")
    most = world.most(caller)
    assert world.tally().reserved == Amount(most.tokens, 3 * most.usd)
    begins.set()
    heard(subscription)
    assert world.tally().used == Amount(3, Decimal(3))


def test_a_fallback_without_a_price_needs_a_caller_without_a_budget_in_dollars() -> None:
    world = Limited(*WORD, prices=PriceOf(), models=("m1>m0",))
    with pytest.raises(errors.UnpricedModel, match="'m0'"):
        world.ask(world.caller(usd_per_day=Decimal(1_000_000)))
    assert world.ask(world.caller(tokens_per_day=1_000_000)).output == "ab"


@pytest.mark.parametrize(("error", "answers"), [("UpstreamRateLimited", True), ("UpstreamError", False)])
def test_another_model_needs_a_reservation_if_the_failed_attempt_may_be_billed(error: str, answers: bool) -> None:
    """The budget is enough for one attempt: an attempt that is surely free leaves its reservation to the next."""
    failure = errors.Failure(error, "broke").error()
    fallback = ScriptedProvider(*WORD)
    world = Limited(failure, models=("m1>m2",), others={"m2": fallback})
    most = world.most(world.caller(tokens_per_day=1_000_000))
    caller = world.caller(tokens_per_day=most.tokens)
    if answers:
        assert world.ask(caller).model == "m2"
    else:
        with pytest.raises(errors.UpstreamError):
            world.ask(caller)
    assert len(fallback.calls) == answers
    (limits,) = {world.tally().reserved}
    assert (limits, world.tally().calls) == (FREE, 0), "settled"


def test_a_reservation_ends_if_no_model_was_asked() -> None:
    fallback = ScriptedProvider(*WORD)
    world = Limited(*WORD, models=("m1>m2",), others={"m2": fallback})
    caller = world.caller(tokens_per_day=1_000_000)
    world.ask(replace(caller))
    world.cache.clear()
    for _ in range(world.slots.size):
        world.slots.acquire()
    assert [world.ask(caller).cached for _ in range(2)] == [False, True]
    assert (len(fallback.calls), world.tally().calls, world.tally().reserved) == (1, 0, FREE)
