"""Which limit a caller is shown."""

from dataclasses import replace
from decimal import Decimal

from llm_service.core.access.caller import Allowance
from llm_service.core.limits.rules import (
    Account,
    Amount,
    Tally,
    limits_of,
)
from llm_service.core.limits.status import LimitKind, tightest


def test_the_headers_speak_of_generations_first_and_then_of_the_scarcest_budget() -> None:
    budgets = Allowance(tokens_per_day=100, usd_per_day=Decimal(10), concurrent=1)
    tally = Tally(used=Amount(10, Decimal(9)))
    assert tightest(limits_of(Account("a", budgets), tally, 0)).kind is LimitKind.USD  # type: ignore[union-attr]
    rated = replace(budgets, generations_per_minute=5)
    assert tightest(limits_of(Account("a", rated), tally, 0)).kind is LimitKind.GENERATIONS  # type: ignore[union-attr]
    assert tightest(limits_of(Account("a", Allowance(concurrent=1)), Tally(), 0)) is None
