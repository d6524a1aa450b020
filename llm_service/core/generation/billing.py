"""What the attempts of one generation cost."""

from ..usage.ports import Prices
from ..usage.pricing import NO_BILL, Bill
from ..usage.tokens import Usage


class AttemptBilling:
    """The attempts of a generation's own call to a provider, and the bill so far; none for one that joined a call.

    An attempt that ends without having reported all of its tokens may be billed all the same: it is `unreported`, and so
    is the attempt under way until it reports.
    """

    def __init__(self, model: str, prices: Prices, *, joined: bool) -> None:
        self._price = None if joined else prices.of(model)
        self._under_way = not joined
        self._unreported = 0
        self.attempts = 0 if joined else 1
        self.bill = NO_BILL if joined else Bill()

    @property
    def unreported(self) -> int:
        return self._unreported + self._under_way

    def retry(self, attempt: int, *, may_be_billed: bool) -> None:
        """The attempt under way failed; the next one begins."""
        self.end(may_be_billed=may_be_billed)
        self.attempts = attempt
        self._under_way = True

    def report(self, usage: Usage) -> None:
        """The attempt under way said what it used, which ends it."""
        self.bill = self.bill.plus(Bill.of(usage, self._price))
        self.end(may_be_billed=not usage.is_complete)

    def end(self, *, may_be_billed: bool) -> None:
        """The attempt under way is over. Nothing happens where it had ended already."""
        self._unreported += self._under_way and may_be_billed
        self._under_way = False
