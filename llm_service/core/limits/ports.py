"""The interfaces that limits need."""

from collections.abc import Sequence, Set
from typing import Protocol

from .rules import Account, Reservation, ReservationResult, Settlement
from .status import LimitStatuses


class Reservations(Protocol):
    """Reservations of calls, inside a unit of work: a reservation and its generation's row commit together."""

    def reserve(self, reservation: Reservation) -> ReservationResult:
        """Reserve in all of its accounts, or in none if one refuses.

        A reservation without a slot adds an attempt to that of its `request_id`.
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Charge what a call used. Replaces its reservation or an earlier charge."""
        ...

    def release(self, request_id: str) -> None:
        """Release a reservation: its call used nothing."""
        ...


class LimitStore(Protocol):
    """The counts for limits of all processes. All methods raise `StorageError`."""

    def reserve(self, reservation: Reservation) -> ReservationResult:
        """As in `Reservations`, in its own transaction."""
        ...

    def statuses(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses: ...

    def open_ids(self) -> Set[str]:
        """The request_ids of all calls that are reserved for, and not settled yet."""
        ...

    def expire(self, request_ids: Sequence[str]) -> int:
        """Charge those of them that are open in full, because their usage will never be reported; how many calls."""
        ...

    def prune(self, now_ms: int) -> None:
        """Delete counts that no limit needs any more."""
        ...
