"""What the attempts of a generation cost."""

from decimal import Decimal

from llm_service.core.generation.billing import AttemptBilling
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.fakes import DollarPrices


def billing(*, joined: bool = False) -> AttemptBilling:
    return AttemptBilling("m1", "p1", DollarPrices(), joined=joined)


def test_the_attempt_under_way_is_unreported_until_it_reports() -> None:
    attempt = billing()
    assert (attempt.attempts, attempt.unreported, attempt.bill.usage) == (1, 1, Usage())
    attempt.report(Usage(1, 2, 3))
    assert (attempt.unreported, attempt.bill.usage, attempt.bill.cost_usd) == (0, Usage(1, 2, 3), 3)


def test_a_report_that_says_only_half_leaves_the_attempt_unreported() -> None:
    attempt = billing()
    attempt.report(Usage(5, None))
    assert attempt.unreported == 1


def test_retries_add_up() -> None:
    attempt = billing()
    attempt.report(Usage(5, 1))
    attempt.begin(2)
    attempt.end(may_be_billed=False)
    attempt.begin(3)
    attempt.report(Usage(1, 2))
    assert (attempt.attempts, attempt.unreported) == (3, 0), "attempt 1 reported, attempt 2 was never sent"
    assert (attempt.bill.usage, attempt.bill.cost_usd) == (Usage(6, 3), Decimal(9))


def test_an_attempt_ends_once() -> None:
    attempt = billing()
    attempt.end(may_be_billed=True)
    attempt.end(may_be_billed=True)
    assert attempt.unreported == 1


def test_a_joined_call_costs_nothing() -> None:
    attempt = billing(joined=True)
    assert (attempt.attempts, attempt.unreported) == (0, 0)
    assert (attempt.bill.usage, attempt.bill.cost_usd) == (NO_TOKENS, 0)
