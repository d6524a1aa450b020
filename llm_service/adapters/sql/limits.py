"""Counts for limits, in SQL: shared by all processes that use the database."""

from collections.abc import Sequence, Set
from functools import partial

from sqlalchemy import Connection, delete

from llm_service.core.clock import DAY_MS
from llm_service.core.limits.rules import MINUTE_S, SECOND_MS, Account, Demand, Reservation, ReservationResult
from llm_service.core.limits.status import LimitStatuses

from . import reservations
from .database import Database
from .tables import limit_days, limit_reservations, limit_seconds

# A late bill may still correct a settled reservation.
KEPT_RESERVATIONS_MS = DAY_MS
KEPT_DAYS = 40


class SqlLimits:
    """Satisfies `LimitStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, reservation: Reservation) -> ReservationResult:
        def work(connection: Connection) -> ReservationResult:
            return reservations.SqlReservations(connection).reserve(reservation)

        # The count of a minute may be lost in a power cut, what a call may cost must not.
        return self._database.write(work, durable=reservation.demand != Demand(generation=True), short=True)

    def statuses(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        return self._database.read(partial(reservations.statuses, accounts=accounts, now_ms=now_ms))

    def open_ids(self) -> Set[str]:
        return self._database.read(reservations.open_ids)

    def expire(self, request_ids: Sequence[str]) -> int:
        return self._database.write(partial(reservations.expire, request_ids=request_ids))

    def prune(self, now_ms: int) -> None:
        reserved = limit_reservations.c
        old = (reserved.spent_tokens.is_not(None), reserved.expires_ms < now_ms - KEPT_RESERVATIONS_MS)
        statements = (
            delete(limit_seconds).where(limit_seconds.c.second < now_ms // SECOND_MS - 2 * MINUTE_S),
            delete(limit_days).where(limit_days.c.day < now_ms // DAY_MS - KEPT_DAYS),
            delete(limit_reservations).where(*old),
        )

        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        self._database.write(work)
