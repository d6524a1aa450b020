from decimal import Decimal

import pytest

from llm_service.core.limits.status import LimitKind, LimitStatus, tightest


def status(kind: LimitKind, most: int, used: int = 0, reserved: int = 0) -> LimitStatus:
    return LimitStatus(kind, True, Decimal(most), Decimal(used), Decimal(reserved), None)


@pytest.mark.parametrize(
    ("most", "used", "reserved", "left", "share"),
    [(100, 0, 0, 100, 1.0), (100, 25, 25, 50, 0.5), (100, 90, 20, 0, 0.0), (0, 0, 0, 0, 0.0)],
)
def test_what_is_left_is_never_less_than_nothing(most: int, used: int, reserved: int, left: int, share: float) -> None:
    limit = status(LimitKind.TOKENS, most, used, reserved)
    assert (limit.left, limit.share_left) == (left, share)


def test_budgets_are_those_of_a_day() -> None:
    assert [kind for kind in LimitKind if kind.is_budget] == [LimitKind.TOKENS, LimitKind.USD]


def test_generations_come_first_and_then_the_scarcest_budget() -> None:
    minute, slots = status(LimitKind.GENERATIONS, 10), status(LimitKind.CALLS, 1, 1)
    tokens, usd = status(LimitKind.TOKENS, 100, 50), status(LimitKind.USD, 10, 9)
    assert tightest((slots, tokens, usd, minute)) is minute
    assert tightest((slots, tokens, usd)) is usd
    assert tightest((status(LimitKind.GENERATIONS, 10, 1), status(LimitKind.GENERATIONS, 10, 5))) == status(
        LimitKind.GENERATIONS, 10, 5
    )
    assert tightest((slots,)) is None
    assert tightest(()) is None
