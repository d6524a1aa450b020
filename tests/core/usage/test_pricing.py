from decimal import Decimal

import pytest

from llm_service.core.usage.pricing import Price, normalize_usd, per_million
from llm_service.core.usage.tokens import Usage

PRICE = Price("list 1", per_million(Decimal("0.15"), Decimal("0.075"), Decimal("0.6")))


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1000, 50, 1050, 400, 0), "0.00015"),
        (Usage(1000, 50, 1050, None, None), "0.00018"),
        (Usage(1000, 50), "0.00018"),
        (Usage(1000, 0, 1000, 1000, 0), "0.000075"),
        (Usage(0, 0, 0, 0, 0), "0"),
        (Usage(1, 0), "0.00000015"),
    ],
)
def test_costs_are_exact_and_plain(usage: Usage, cost: str) -> None:
    assert f"{PRICE.cost(usage):f}" == cost


@pytest.mark.parametrize("usage", [Usage(), Usage(None, 5), Usage(5, None), Usage(5, 5, 10, 6, 0)])
def test_what_is_not_known_has_no_cost(usage: Usage) -> None:
    assert PRICE.cost(usage) is None


def test_the_worst_case_has_nothing_cached() -> None:
    assert PRICE.max_cost(1000, 50) == Decimal("0.00018")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.00", "0"), ("1E+3", "1000"), ("12.50", "12.5"), ("0.0000000000014", "0.000000000001")],
)
def test_amounts_are_plain_to_a_trillionth(amount: str, shown: str) -> None:
    assert f"{normalize_usd(Decimal(amount)):f}" == shown
