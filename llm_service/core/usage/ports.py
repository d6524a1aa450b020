"""What usage and prices need from the world."""

from collections.abc import Sequence
from typing import Protocol

from .pricing import Price
from .sums import GroupBy, UsageLine


class Prices(Protocol):
    """What models cost, by name."""

    def of(self, model: str) -> Price | None:
        """None = no price is known."""
        ...


class UsageStore(Protocol):
    """The sums that are kept of what generations used. They grow with each outcome, in its own transaction."""

    def lines(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> Sequence[UsageLine]:
        """One line for each key that has anything. `since_hour` and `until_hour` (not included) count from 1970, UTC.

        `owner` None = everybody's. Raises `StorageError`.
        """
        ...
