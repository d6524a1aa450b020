"""Prices of models and storage of usage."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from .pricing import Price
from .sums import GroupBy, UsageLine


class Prices(Protocol):
    """The prices of models, which depend on the provider that answers."""

    def of(self, model: str, provider: str) -> Price | None:
        """`provider`: its name. None = the price is unknown."""
        ...


class UsageStore(Protocol):
    """The stored sums of usage. Each outcome is added in the transaction that stores it."""

    def lines(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> Sequence[UsageLine]:
        """One line for each key with any usage. `since_hour` and `until_hour` (exclusive) count from 1970, UTC.

        `owner` None = all owners. Raises `StorageError`.
        """
        ...

    def last_hours(self, owner: str | None, since_hour: int) -> Mapping[str, int]:
        """The last hour from `since_hour` on in which each template was used, by its id. Raises `StorageError`."""
        ...
