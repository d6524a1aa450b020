"""What servers report of tokens and of cost."""

from decimal import Decimal

import pytest

from llm_service.adapters.providers.openai_api.usage import known_counts, reported_cost
from llm_service.core.usage.tokens import NO_TOKENS, Usage


@pytest.mark.parametrize(
    ("usage", "text", "reasoned", "known"),
    [
        (NO_TOKENS, True, False, Usage()),
        (NO_TOKENS, False, False, NO_TOKENS),
        (NO_TOKENS, False, True, Usage()),
        (Usage(20, 0, 20, 0, 0), True, False, Usage(20, None, 20, 0, None)),
        (Usage(0, 5, 5, 0, 0), True, False, Usage(None, 5, 5, None, 0)),
        (Usage(20, 5, 0, 0, 0), True, False, Usage(20, 5, None, 0, 0)),
        (Usage(20, 40, 60, 0, 0), True, True, Usage(20, 40, 60, 0, None)),
        (Usage(20, 40, 60, 4, 30), True, True, Usage(20, 40, 60, 4, 30)),
    ],
)
def test_a_zero_that_cannot_be_true_is_unknown(usage: Usage, text: bool, reasoned: bool, known: Usage) -> None:
    assert known_counts(usage, text=text, reasoned=reasoned) == known


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 0.1}, "0.1"),
        ({"cost": 0}, "0"),
        ({"cost": 1.2e-7}, "0.00000012"),
        ({"cost": 2}, "2"),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.003}}, "0.003"),
        ({"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": 9}}, "0.01"),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, "0.21"),
        ({"cost": 0.01, "is_byok": True}, None),
        ({"cost": None}, None),
        ({"cost": "0.1"}, None),
        ({"cost": True}, None),
        ({"cost": -0.1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": float("inf")}, None),
        ({"cost": 1e300}, None),
        ({"cost": 10**400}, None),
        ({"cost": []}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_cost_is_used_if_it_is_an_amount(usage: object, cost: str | None) -> None:
    assert reported_cost(usage) == (None if cost is None else Decimal(cost))
