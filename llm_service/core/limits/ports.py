"""What limits need from the world."""

from collections.abc import Sequence
from typing import Protocol

from .rules import Account, Reservation, ReservationResult, Settlement
from .status import LimitStatuses


class Reservations(Protocol):
    """What calls hold of limits, inside a unit of work: a reservation and the row of its generation commit together."""

    def reserve(self, reservation: Reservation) -> ReservationResult:
        """Take what the reservation demands from all its accounts, or nothing where one of them has no room.

        One that demands no slot adds an attempt to what its `request_id` has reserved.
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Charge what a call used instead of what was reserved for it, or than what it was charged before."""
        ...

    def release(self, request_id: str) -> None:
        """Give a reservation back: its call used nothing."""
        ...


class LimitStore(Protocol):
    """What is counted against limits, in every process. All methods raise `StorageError`."""

    def reserve(self, reservation: Reservation) -> ReservationResult:
        """As in `Reservations`, in a transaction of its own."""
        ...

    def statuses(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses: ...

    def expire(self, now_ms: int) -> int:
        """Charge overdue reservations in full: nobody is left who could tell what their calls used. How many calls."""
        ...

    def prune(self, now_ms: int) -> None:
        """Forget what no limit looks at any more."""
        ...
