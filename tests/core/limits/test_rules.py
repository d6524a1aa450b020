"""The rules of limits: who is counted where, what is too much, and what a call is charged."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.access.caller import LOCAL, Allowance, Caller
from llm_service.core.limits.rules import (
    EVERYONE,
    FREE,
    Account,
    Amount,
    Demand,
    Settlement,
    Tally,
    accounts_of,
    charge,
    limits_of,
    refusal,
)
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import NOW_MS

amounts = st.builds(Amount, st.integers(0, 10_000), st.decimals(0, 100, places=6))


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
        demand = Demand(call=True, amount=most)
        if refusal(limits_of(account, tally, NOW_MS), demand) is not None:
            continue
        tally = tally.plus(demand, NOW_MS)
        if share > 0.2:
            used = Amount(int(most.tokens * share), most.usd * Decimal(share))
            tally = replace(tally, used=tally.used.plus(used), reserved=tally.reserved.minus(most))
    assert tally.used.tokens + tally.reserved.tokens <= tokens
    assert tally.used.usd + tally.reserved.usd <= usd


@given(amounts, st.integers(1, 3), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))
def test_a_charge_is_never_free_where_something_may_be_billed(
    each: Amount, attempts: int, unreported: int, into: int, out: int
) -> None:
    def charged(billed: Usage, cost_usd: Decimal | None, unreported: int | None) -> Amount:
        return charge(each, attempts, Settlement("id-1", billed, cost_usd, unreported))

    known = charged(Usage(into, out), Decimal("0.5"), unreported)
    assert known == Amount(into + out, Decimal("0.5")).plus(each.times(unreported))
    assert charged(Usage(into, out), None, None) == each.times(attempts), "nobody knows"
    assert charged(Usage(), None, 0) == FREE, "nothing was sent"
    assert charged(Usage(1, out), None, 0).usd == each.usd * attempts, "tokens without a price"


@given(st.integers(0, 9), st.sampled_from([None, Decimal(0), Decimal("0.1")]), st.sampled_from([None, 0, 1]))
def test_only_what_surely_cost_nothing_is_released(
    tokens: int, cost_usd: Decimal | None, unreported: int | None
) -> None:
    settlement = Settlement("id-1", Usage(tokens, None), cost_usd, unreported)
    assert settlement.is_nothing is (tokens == 0 and not cost_usd and unreported == 0)
