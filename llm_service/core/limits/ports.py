"""What limits need from the world."""

from collections.abc import Sequence
from typing import Protocol

from .rules import Account, Reservation, ReservationResult
from .status import LimitStatuses


class LimitStore(Protocol):
    """What is counted against limits, in every process. All methods raise `StorageError`.

    What a hold took is given back, but for what was used, when a history stores the outcome of its generation.
    """

    def take(self, hold: Reservation) -> ReservationResult:
        """Count and reserve what the hold asks of all its accounts, if all have room, in one step.

        A hold that asks for no call adds an attempt to what its `request_id` has reserved.
        """
        ...

    def standing(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses: ...

    def expire(self, now_ms: int) -> int:
        """Charge what is held beyond its time in full; how many calls. Nobody is left who could tell what they used."""
        ...

    def prune(self, now_ms: int) -> None:
        """Forget what no limit looks at any more."""
        ...
