"""The rules of limits, and what they do to generations: in memory, with the real service around them."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core import errors
from llm_service.core.access.caller import LOCAL, Allowance, Caller
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, Delta, Generation, ProviderEvent, Retrying, Status
from llm_service.core.generation.preview import most_input_tokens
from llm_service.core.limits.errors import BudgetExhausted, RateLimited
from llm_service.core.limits.limiter import Limiter
from llm_service.core.limits.rules import (
    BUDGET_OUTPUT_TOKENS,
    DAY_MS,
    EVERYONE,
    FREE,
    UNLIMITED,
    Account,
    Amount,
    Demand,
    Reservation,
    ReservationResult,
    Tally,
    accounts_of,
    charge,
    limits_of,
    refusal,
)
from llm_service.core.limits.status import LimitKind, LimitStatuses, tightest
from llm_service.core.usage.pricing import Price
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import Clock, until
from tests.support.fakes import Prices, ScriptedProvider
from tests.support.world import ASKED, DONE, WORD, World, heard

NOW_MS = Clock().now_ms()
amounts = st.builds(Amount, st.integers(0, 10_000), st.decimals(0, 100, places=6))


class DictLimits:
    """Counts in dictionaries what the real store counts in rows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[str, Tally] = {}
        self.held: dict[str, tuple[Reservation, int]] = {}
        self.settled: dict[str, Amount] = {}

    def take(self, hold: Reservation) -> ReservationResult:
        with self.lock:
            before = self._standing(hold.accounts, hold.now_ms)
            if (refused := refusal(before, hold.ask)) is not None:
                return ReservationResult(before, refused)
            for account in hold.accounts:
                tally = self.tallies.get(account.name, Tally())
                self.tallies[account.name] = tally.plus(hold.ask, hold.now_ms)
            if hold.ask.call or hold.ask.amount != FREE:
                first, attempts = self.held.get(hold.request_id, (hold, 0))
                self.held[hold.request_id] = first, attempts + 1
            return ReservationResult(self._standing(hold.accounts, hold.now_ms))

    def standing(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        return self._standing(accounts, now_ms)

    def _standing(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        rows = [limits_of(account, self.tallies.get(account.name, Tally()), now_ms) for account in accounts]
        return tuple(limit for limits in rows for limit in limits)

    def expire(self, now_ms: int) -> int:
        return 0

    def prune(self, now_ms: int) -> None: ...

    def settle(self, generation: Generation) -> None:
        if generation.request_id not in self.held or generation.finished_ms is None:
            return
        hold, attempts = self.held[generation.request_id]
        each = hold.ask.amount
        spent = charge(each, attempts, generation.billed, generation.cost_usd, generation.unreported)
        before = self.settled.get(generation.request_id)
        self.settled[generation.request_id] = spent
        for account in hold.accounts:
            tally = self.tallies[account.name]
            used = tally.used.plus(spent).minus(before or FREE)
            open_before = before is None
            reserved = tally.reserved.minus(each.times(attempts)) if open_before else tally.reserved
            calls = tally.calls - open_before
            self.tallies[account.name] = replace(tally, used=used, reserved=reserved, calls=calls)


class RetryingScript(ScriptedProvider):
    """Asks before each further attempt, as the retry loop does, and ends with the error where it may not."""

    def stream(self, call, control: CallContext):  # type: ignore[no-untyped-def]
        for event in super().stream(call, control):
            if isinstance(event, Retrying) and not control.may_retry():
                raise errors.UpstreamTruncated("broke")
            yield event


class Limited(World):
    """A world whose callers have an allowance."""

    def __init__(self, *events: ProviderEvent | Exception | threading.Event, everyone: Allowance = UNLIMITED) -> None:
        self.counted = DictLimits()
        super().__init__(RetryingScript(*events), counted=self.counted, everyone=everyone)
        self.history.settle = self.counted.settle  # type: ignore[method-assign]

    def caller(self, **allowance: object) -> Caller:
        return replace(LOCAL, allowance=Allowance(**allowance))  # type: ignore[arg-type]

    def ask(self, caller: Caller, text: str = "Hello") -> Generation:
        asked = replace(ASKED, input=text)
        return self.generate.run(asked, caller, f"id-{next(self.ids)}").generation

    def most(self, caller: Caller) -> Amount:
        """What one attempt is reserved, at a dollar a token."""
        call = self.prepare(ASKED, caller).call
        tokens = most_input_tokens(call) + call.options["max_output_tokens"]
        return Amount(tokens, Decimal(tokens))

    def tally(self) -> Tally:
        (tally,) = self.counted.tallies.values()
        return tally


def test_a_key_has_an_account_of_its_own_and_nobody_has_one_without_a_limit() -> None:
    some = Allowance(concurrent=1)
    key = Caller("alice", frozenset(), key_id="k1", allowance=some)
    assert [account.name for account in accounts_of(key, some)] == ["key:k1", EVERYONE]
    assert [account.name for account in accounts_of(replace(key, key_id=None), Allowance())] == ["owner:alice"]
    assert accounts_of(LOCAL, Allowance()) == ()


@given(st.integers(0, 50), st.integers(0, 50))
def test_generations_are_let_through_up_to_the_limit(most: int, asked: int) -> None:
    account, tally, through = Account("a", Allowance(generations_per_minute=most)), Tally(), 0
    for _ in range(asked):
        if refusal(limits_of(account, tally, NOW_MS), Demand(generation=True)) is None:
            tally, through = tally.plus(Demand(generation=True), NOW_MS), through + 1
    assert through == min(most, asked)


@given(st.integers(0, 20_000), st.decimals(0, 150, places=6), st.lists(st.tuples(amounts, st.floats(0, 1))))
def test_no_order_of_calls_spends_more_than_the_budget(tokens: int, usd: Decimal, calls: list) -> None:  # type: ignore[type-arg]
    """Each reserves its most and then uses a share of it; some are still under way at the end."""
    account, tally = Account("a", Allowance(tokens_per_day=tokens, usd_per_day=usd)), Tally()
    for most, share in calls:
        ask = Demand(call=True, amount=most)
        if refusal(limits_of(account, tally, NOW_MS), ask) is not None:
            continue
        tally = tally.plus(ask, NOW_MS)
        if share > 0.2:
            used = Amount(int(most.tokens * share), most.usd * Decimal(share))
            tally = replace(tally, used=tally.used.plus(used), reserved=tally.reserved.minus(most))
    assert tally.used.tokens + tally.reserved.tokens <= tokens
    assert tally.used.usd + tally.reserved.usd <= usd


@given(amounts, st.integers(1, 3), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))
def test_a_charge_is_never_free_where_something_may_be_billed(
    each: Amount, attempts: int, unreported: int, into: int, out: int
) -> None:
    known = charge(each, attempts, Usage(into, out), Decimal("0.5"), unreported)
    assert known == Amount(into + out, Decimal("0.5")).plus(each.times(unreported))
    assert charge(each, attempts, Usage(into, out), None, None) == each.times(attempts), "nobody knows"
    assert charge(each, attempts, Usage(), None, 0) == FREE, "nothing was sent"
    assert charge(each, attempts, Usage(1, out), None, 0).usd == each.usd * attempts, "tokens without a price"


def test_the_headers_speak_of_generations_first_and_then_of_the_scarcest_budget() -> None:
    budgets = Allowance(tokens_per_day=100, usd_per_day=Decimal(10), concurrent=1)
    tally = Tally(used=Amount(10, Decimal(9)))
    assert tightest(limits_of(Account("a", budgets), tally, 0)).kind is LimitKind.USD  # type: ignore[union-attr]
    rated = replace(budgets, generations_per_minute=5)
    assert tightest(limits_of(Account("a", rated), tally, 0)).kind is LimitKind.GENERATIONS  # type: ignore[union-attr]
    assert tightest(limits_of(Account("a", Allowance(concurrent=1)), Tally(), 0)) is None


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
    assert len(world.history.rows) == 2, "what is refused is not stored"


def test_a_call_reserves_the_most_and_settles_what_was_billed() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=10_000, usd_per_day=Decimal(10_000), concurrent=1)
    subscription = world.generate.begin(ASKED, caller, "id-0")
    most = world.most(caller)
    assert most.tokens > BUDGET_OUTPUT_TOKENS
    assert (world.tally().reserved, world.tally().calls, world.tally().used) == (most, 1, FREE)
    assert [limit.reserved for limit in subscription.standing if limit.kind is LimitKind.TOKENS] == [most.tokens]
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
    subscriptions = [world.generate.begin(ASKED, caller, f"id-{number}") for number in (101, 102, 103)]
    begins.set()
    assert [heard(subscription)[1].generation.attempts for subscription in subscriptions] == [1, 0, 0]
    assert world.ask(caller).cached
    assert world.tally().used.tokens == 3


def test_a_slot_is_free_again_when_its_call_ends() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(concurrent=1)
    subscription = world.generate.begin(ASKED, caller, "id-0")
    with pytest.raises(RateLimited) as raised:
        world.ask(caller, "another")
    assert raised.value.retry_after_s == 1
    assert world.slots.taken == 1, "the refused one gave its place back"
    begins.set()
    heard(subscription)
    world.ask(caller, "another")


def test_a_budget_says_what_is_left_and_when_to_ask_again() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=5000)
    world.generate.begin(ASKED, caller, "id-0")
    with pytest.raises(BudgetExhausted) as raised:
        world.ask(caller, "another")
    assert raised.value.retry_after_s == 5, "what is reserved may be free soon"
    assert "are reserved for calls under way" in raised.value.detail
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
    world = Limited(*WORD)
    world.generate._limiter._prices = Unpriced()  # type: ignore[assignment]
    with pytest.raises(errors.UnpricedModel) as raised:
        world.ask(world.caller(usd_per_day=Decimal(1_000_000)))
    assert (raised.value.code, raised.value.fields[0].field) == ("unknown-model", "model")
    assert world.slots.taken == 0
    assert world.ask(world.caller(tokens_per_day=1_000_000)).output == "ab", "tokens need no price"


class Unpriced:
    def of(self, model: str) -> Price | None:
        return None


def test_the_limit_of_everyone_counts_all_owners() -> None:
    world = Limited(*WORD, everyone=Allowance(generations_per_minute=2))
    world.run(owner="alice")
    world.run(owner="bob")
    with pytest.raises(RateLimited) as raised:
        world.run(owner="carol")
    assert raised.value.limit
    assert not raised.value.limit.own
    assert "for all its callers" in raised.value.detail


@pytest.mark.parametrize(
    ("events", "used"),
    [
        ([errors.UpstreamUnavailable("the circuit is open")], 0),
        ([errors.UpstreamAuth("key")], 0),
        ([errors.UpstreamRejected("too long")], 0),
        ([Delta("a"), errors.UpstreamTruncated("cut")], 1),
        ([errors.UpstreamTimeout("silent")], 1),
        ([ZeroDivisionError()], 1),
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
    world = Limited(Delta("a"), Retrying(2), Billed(Usage(5, 1)), Retrying(3, may_be_billed=False), *WORD)
    caller = world.caller(tokens_per_day=50_000)
    world.ask(caller)
    most = world.most(caller).tokens
    assert world.tally().used.tokens == most + 6 + 3


def test_there_is_no_further_attempt_without_room_for_it() -> None:
    world = Limited(Delta("a"), Retrying(2), *WORD)
    caller = world.caller(tokens_per_day=5000)
    with pytest.raises(errors.UpstreamTruncated):
        world.ask(caller)
    until(lambda: world.tally().reserved == FREE)
    assert world.tally().used.tokens == world.most(caller).tokens


def test_a_cancelled_call_is_charged_at_its_most() -> None:
    world = Limited(Delta("a"), threading.Event())
    caller = world.caller(tokens_per_day=50_000)
    subscription = world.generate.begin(ASKED, caller, "id-0", kept=True)
    assert subscription.next(5) == Delta("a")
    world.live.cancel("local", "id-0")
    assert (world.tally().used.tokens, world.tally().calls) == (world.most(caller).tokens, 0)


def test_a_bill_that_comes_late_takes_its_place() -> None:
    begins = threading.Event()
    world = Limited(begins, *WORD)
    caller = world.caller(tokens_per_day=50_000)
    leads = world.generate.begin(ASKED, caller, "id-0", kept=True)
    joins = world.generate.begin(ASKED, caller, "id-1")
    assert world.live.cancel("local", leads.generation.request_id).status is Status.CANCELLED
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
    leads = world.generate.begin(ASKED, caller, "id-0", kept=True)
    joins = world.generate.begin(ASKED, caller, "id-1")
    world.live.cancel("local", leads.generation.request_id)
    with pytest.raises(RateLimited):
        world.ask(caller, "another")
    begins.set()
    heard(joins)
    until(lambda: world.tally().calls == 0)
    assert world.ask(caller, "another").status is Status.COMPLETED


def test_a_row_that_cannot_be_stored_takes_nothing() -> None:
    world = Limited(*WORD)

    def full(generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        raise errors.StorageFull("no space")

    world.history.start = full  # type: ignore[method-assign]
    with pytest.raises(errors.StorageFull):
        world.ask(world.caller(tokens_per_day=50_000))
    assert (world.counted.tallies, world.slots.taken) == ({}, 0)


def test_who_shared_a_refused_call_is_told_to_ask_again() -> None:
    """The limit was another's: between boarding and the refusal, someone without one has joined."""
    world = Limited(*WORD)
    joined: list[Exception] = []
    start, caller = world.history.start, replace(LOCAL, key_id="k1", allowance=Allowance(tokens_per_day=10))
    plain = replace(caller, allowance=Allowance(tokens_per_day=1_000_000), key_id="k2")

    def while_it_starts(generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        subscription = world.generate.begin(ASKED, plain, "id-9")

        def listen() -> None:
            try:
                heard(subscription)
            except errors.ServiceError as error:
                joined.append(error)

        threading.Thread(target=listen).start()
        return start(generation, hold)

    world.history.start = while_it_starts  # type: ignore[method-assign]
    with pytest.raises(BudgetExhausted):
        world.ask(caller)
    until(lambda: bool(joined))
    assert [error.code for error in joined] == ["overloaded"]  # type: ignore[attr-defined]


def test_a_further_attempt_belongs_to_the_day_when_its_call_began() -> None:
    """Another day's room would be asked for what this day is charged."""
    store, account = DictLimits(), Account("key", Allowance(tokens_per_day=100))
    limiter = Limiter(store, Prices(), Clock(), lapse_s=130)
    yesterday = Reservation("id-1", (account,), Demand(call=True, amount=Amount(60)), NOW_MS - 24 * 3600 * 1000, NOW_MS)
    store.take(yesterday)
    asked: list[Reservation] = []

    def take(hold: Reservation) -> ReservationResult:
        asked.append(hold)
        return ReservationResult(())

    store.take = take  # type: ignore[method-assign]
    assert limiter.extend(yesterday)
    assert asked[0].now_ms == yesterday.now_ms
