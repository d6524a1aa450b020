"""The cost of a generation's attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce

from ..usage.ports import Prices
from ..usage.pricing import NO_BILL, NOTHING_YET, Bill
from ..usage.tokens import NOT_REPORTED, Usage
from .tried_models import TriedModel


class AttemptBilling:
    """The attempts of a generation's own provider call at one model, and the bill so far. A generation that joined a call,
    or whose answer was cached, has none.

    An attempt that ends without reporting all of its tokens may still be billed: it is `unreported`. So is the current
    attempt until it reports. Between two attempts there is no current one: a call that is stopped in the pause before a
    retry owes nothing for it.
    """

    def __init__(self, model: str, provider: str, prices: Prices, *, joined: bool, begun: bool = True) -> None:
        """`begun`: the first attempt may be sent at any time."""
        self._price = None if joined else prices.of(model, provider)
        self._under_way = begun and not joined
        self._unreported = 0
        # Set for each piece of text, so without a method.
        self.has_text = False
        self.attempts = int(self._under_way)
        self.bill = NO_BILL if joined else NOTHING_YET

    @property
    def unreported(self) -> int:
        return self._unreported + self._under_way

    def begin(self, attempt: int) -> None:
        """A further attempt is about to be sent."""
        self.attempts = attempt
        self.has_text = False
        self._under_way = True

    def report(self, usage: Usage, cost_usd: Decimal | None = None) -> None:
        """The current attempt reported its usage, which ends it. `cost_usd`: if it reported that, too."""
        self.bill = self.bill.plus(Bill.of(usage, self._price, cost_usd))
        self._unreported += self._under_way and not usage.is_complete
        self._under_way = False

    def end(self, *, may_be_billed: bool) -> None:
        """End the current attempt, unless it has already ended.

        `may_be_billed`: what its error says. The model worked for an attempt that brought text, whatever ended it.
        """
        self._unreported += self._under_way and (may_be_billed or self.has_text)
        self._under_way = False


@dataclass(frozen=True, slots=True)
class WholeBill:
    """The attempts of a generation at all of its models, and what they cost together."""

    attempts: int
    unreported: int
    bill: Bill


def whole_bill(tried: Sequence[TriedModel], last: AttemptBilling) -> WholeBill:
    """`tried`: the models that were asked before that of `last`."""
    if not tried:
        return WholeBill(last.attempts, last.unreported, last.bill)
    attempts = sum(model.attempts for model in tried) + last.attempts
    unreported = sum(model.unreported for model in tried) + last.unreported
    bills = [*(Bill(model.billed, model.cost_usd) for model in tried), last.bill]
    reported = [bill for bill in bills if bill.usage != NOT_REPORTED]
    total = reduce(Bill.plus, reported, Bill())
    # A part of the cost would look like the cost.
    cost_usd = None if any(bill.cost_usd is None for bill in reported) else total.cost_usd
    return WholeBill(attempts, unreported, replace(total, cost_usd=cost_usd, price_version=last.bill.price_version))


def tried_model(model: str, provider: str, error: str, billing: AttemptBilling, *, asked: bool) -> TriedModel:
    """A model whose attempts are over. What certainly costs nothing is 0, and not unknown."""
    bill, unreported = billing.bill, billing.unreported
    if bill.usage == NOT_REPORTED and not unreported:
        bill = NO_BILL
    attempts = billing.attempts if asked else 0
    return TriedModel(model, provider, error, attempts, unreported, bill.usage, bill.cost_usd)
