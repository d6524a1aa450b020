"""What is counted against limits, in SQL: one count for every process that opens the database."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, delete, select

from llm_service.core.clock import DAY_MS
from llm_service.core.limits.rules import MINUTE_S, SECOND_MS, Account, Amount, Reservation, ReservationResult
from llm_service.core.limits.status import LimitStatuses
from llm_service.core.usage.pricing import NOTHING

from . import reservations as holding
from .money import from_pico
from .sqlite.database import Database
from .tables import limit_days, limit_holds, limit_seconds

# A settled hold may still be corrected by a bill that comes late.
KEPT_HOLDS_MS = DAY_MS
KEPT_DAYS = 40


class SqlLimits:
    """Satisfies `LimitStore`. What a history stores settles it: `counting.count`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, hold: Reservation) -> ReservationResult:
        return self._database.write(partial(holding.take, hold=hold))

    def standing(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        return self._database.read(partial(holding.standing, accounts=accounts, now_ms=now_ms))

    def expire(self, now_ms: int) -> int:
        held = limit_holds.c
        left = select(limit_holds).where(held.spent_tokens.is_(None), held.expires_ms <= now_ms)

        def work(connection: Connection) -> int:
            rows = connection.execute(left.order_by(held.account).with_for_update()).all()
            for row in rows:
                each = Amount(row.tokens, from_pico(row.picousd) or NOTHING)
                holding.charge_hold(connection, row, each.times(row.attempts))
            return len({row.request_id for row in rows})

        return self._database.write(work)

    def prune(self, now_ms: int) -> None:
        held = limit_holds.c
        statements = (
            delete(limit_seconds).where(limit_seconds.c.second < now_ms // SECOND_MS - 2 * MINUTE_S),
            delete(limit_days).where(limit_days.c.day < now_ms // DAY_MS - KEPT_DAYS),
            delete(limit_holds).where(held.spent_tokens.is_not(None), held.expires_ms < now_ms - KEPT_HOLDS_MS),
        )

        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        self._database.write(work)
