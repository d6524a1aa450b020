"""The models that were asked before: with their bills for who paid, without for all others."""

import json
from dataclasses import asdict
from decimal import Decimal

from llm_service.core.generation.tried_models import TriedModel, tried_models
from llm_service.core.usage.tokens import NO_TOKENS, NOT_REPORTED, Usage

PAID = TriedModel("a", "azure", "upstream-error", 2, 1, Usage(3, None, 3), Decimal("0.000000000001"))
UNKNOWN = TriedModel("b", "local", "upstream-timeout", 1, 1, NOT_REPORTED, None)


def test_they_come_back_from_json_exactly() -> None:
    text = json.dumps([asdict(model) for model in (PAID, UNKNOWN)], default=str)
    assert tried_models(json.loads(text)) == (PAID, UNKNOWN)


def test_who_shared_the_call_has_no_bill() -> None:
    shared = PAID.without_bill()
    assert (shared.model, shared.provider, shared.error) == ("a", "azure", "upstream-error")
    assert (shared.attempts, shared.unreported, shared.billed, shared.cost_usd) == (0, 0, NO_TOKENS, 0)
