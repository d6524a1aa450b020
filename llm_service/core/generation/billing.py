"""The cost of a generation's attempts."""

from decimal import Decimal

from ..usage.ports import Prices
from ..usage.pricing import NO_BILL, Bill
from ..usage.tokens import Usage


class AttemptBilling:
    """The attempts of a generation's own provider call, and the bill so far. A generation that joined a call has none.

    An attempt that ends without reporting all of its tokens may still be billed: it is `unreported`. So is the current
    attempt until it reports. Between two attempts there is no current one: a call that is stopped in the pause before a
    retry owes nothing for it.
    """

    def __init__(self, model: str, provider: str, prices: Prices, *, joined: bool) -> None:
        self._price = None if joined else prices.of(model, provider)
        self._under_way = not joined
        self._unreported = 0
        # Set for each piece of text, so without a method.
        self.has_text = False
        self.attempts = 0 if joined else 1
        self.bill = NO_BILL if joined else Bill()

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
