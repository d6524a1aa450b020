"""Reserves, settles and expires in SQL, inside the transaction that stores a generation or its outcome.

A reservation keeps the final cost of its call, so a late bill, or one from a process that was given up, can correct it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from llm_service.core.clock import DAY_MS
from llm_service.core.limits.rules import (
    FREE,
    MINUTE_S,
    SECOND_MS,
    Account,
    Amount,
    Reservation,
    ReservationResult,
    Settlement,
    Tally,
    charge,
    limits_of,
    refusal,
    second_frees_ms,
)
from llm_service.core.limits.status import LimitStatus, LimitStatuses
from llm_service.core.usage.pricing import ZERO_USD

from . import locks
from .compiled import Compiled
from .money import from_pico, to_pico
from .tables import limit_days, limit_reservations, limit_seconds
from .upsert import add_to

_seconds, _days, _reserved = limit_seconds.c, limit_days.c, limit_reservations.c
# Clocks may step back and requests may wait, so the next minute counts as well.
_MINUTE = Compiled(
    select(func.coalesce(func.sum(_seconds.generations), 0), func.min(_seconds.second)).where(
        _seconds.account == bindparam("of"),
        _seconds.second.between(bindparam("now_s") - MINUTE_S, bindparam("now_s") + MINUTE_S),
    )
)
_today = _reserved.day == bindparam("on")
_UNDER_WAY = select(
    func.coalesce(func.sum(case((_reserved.expires_ms > bindparam("now"), 1), else_=0)), 0),
    func.coalesce(func.sum(case((_today, _reserved.attempts * _reserved.tokens), else_=0)), 0),
    func.coalesce(func.sum(case((_today, _reserved.attempts * _reserved.picousd), else_=0)), 0),
).where(_reserved.account == bindparam("of"), _reserved.spent_tokens.is_(None))
_its_day = select(func.coalesce(func.max(_days.tokens), 0), func.coalesce(func.max(_days.picousd), 0)).where(
    _days.account == bindparam("of"), _days.day == bindparam("on")
)
# In one statement: what is settled between two would count twice, or not at all.
_RESERVED_AND_USED = _UNDER_WAY.add_columns(
    *(_its_day.with_only_columns(column).scalar_subquery() for column in _its_day.selected_columns)
)
_OF_REQUEST = Compiled(
    select(limit_reservations)
    .where(_reserved.request_id == bindparam("id"))
    .order_by(_reserved.account)
    .with_for_update()
)
_OPEN_IDS = select(_reserved.request_id).where(_reserved.spent_tokens.is_(None)).distinct()
_ORPHANED = (
    select(limit_reservations)
    .where(_reserved.spent_tokens.is_(None), _reserved.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(_reserved.request_id, _reserved.account)
    .with_for_update()
)
_OF_REQUESTS = (
    select(_reserved.account)
    .where(_reserved.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(_reserved.request_id, _reserved.account)
    .with_for_update()
)
_OPEN = (
    select(_reserved.account)
    .where(_reserved.request_id == bindparam("id"), _reserved.spent_tokens.is_(None))
    .order_by(_reserved.account)
    .with_for_update()
)
_INSERT = insert(limit_reservations)
_CHARGES = "charged in this transaction"
Charges = dict[tuple[str, int], tuple[int, int]]
"""Tokens and picodollars by account and day."""
_ADD_SECOND = Compiled(
    add_to(limit_seconds, ("account", "second"), ("generations",)), ("account", "second", "generations")
)
_ADD_DAY = add_to(limit_days, ("account", "day"), ("tokens", "picousd"))
_mine = (_reserved.request_id == bindparam("id"), _reserved.account == bindparam("of"))
_ONE_MORE = (
    update(limit_reservations).where(*_mine, _reserved.spent_tokens.is_(None)).values(attempts=_reserved.attempts + 1)
)
_SPENT = (
    update(limit_reservations).where(*_mine).values(spent_tokens=bindparam("spent"), spent_picousd=bindparam("money"))
)


class _Reserved(NamedTuple):
    """A row of `limit_reservations`: its columns in their order."""

    request_id: str
    account: str
    day: int
    attempts: int
    tokens: int
    picousd: int
    spent_tokens: int | None
    spent_picousd: int | None
    expires_ms: int


class SqlReservations:
    """Satisfies `Reservations`, inside a transaction of its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reserve(self, reservation: Reservation) -> ReservationResult:
        connection, accounts, demand, now_ms = (
            self._connection, reservation.accounts, reservation.demand, reservation.now_ms
        )  # fmt: skip
        locks.lock_limits(connection)
        charged = connection.info[_CHARGES]
        tallies = {account: _tally(connection, account, now_ms, charged) for account in accounts}
        before = _statuses(accounts, tallies, now_ms)
        refused = refusal(before, demand) or _nothing_to_extend(connection, reservation, before)
        if refused is not None:
            return ReservationResult(before, refused)
        for account in accounts:
            _write(connection, account, reservation)
        after = {account: tally.plus(demand, now_ms) for account, tally in tallies.items()}
        return ReservationResult(_statuses(accounts, after, now_ms))

    def settle(self, settlement: Settlement) -> None:
        for row in _of_request(self._connection, settlement.request_id):
            charge_row(self._connection, row, charge(_each(row), row.attempts, settlement))

    def release(self, request_id: str) -> None:
        for row in _of_request(self._connection, request_id):
            charge_row(self._connection, row, FREE)


def statuses(connection: Connection, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
    return _statuses(accounts, {account: _tally(connection, account, now_ms, {}) for account in accounts}, now_ms)


def open_ids(connection: Connection) -> set[str]:
    """Of calls that are not settled."""
    return set(connection.execute(_OPEN_IDS).scalars())


def expire(connection: Connection, request_ids: Sequence[str]) -> int:
    """Charge open reservations in full. Returns the number of calls."""
    rows = [_Reserved(*row) for row in connection.execute(_ORPHANED, {"ids": request_ids})]
    for row in rows:
        charge_row(connection, row, _each(row).times(row.attempts))
    return len({row.request_id for row in rows})


def charge_row(connection: Connection, row: _Reserved, amount: Amount) -> None:
    """Charge an account's reservation. Replaces an earlier charge."""
    picousd = to_pico(amount.usd) or 0
    spent = {"id": row.request_id, "of": row.account, "spent": amount.tokens, "money": picousd}
    connection.execute(_SPENT, spent)
    charges: Charges = connection.info[_CHARGES]
    tokens, money = charges.get((row.account, row.day), (0, 0))
    charges[row.account, row.day] = (
        tokens + amount.tokens - (row.spent_tokens or 0),
        money + picousd - (row.spent_picousd or 0),
    )


def begin_charges(info: dict[Any, Any]) -> Charges:
    """Call it at the beginning of each transaction, with the connection's `info`."""
    charges: Charges = {}
    info[_CHARGES] = charges
    return charges


def write_charges(connection: Connection, charges: Charges) -> None:
    """Add what the transaction charged to the days of its accounts.

    At its end, because all callers share some accounts, and sorted: so transactions hardly wait, and cannot deadlock.
    """
    for (account, day), (tokens, picousd) in sorted(charges.items()):
        connection.execute(_ADD_DAY, {"account": account, "day": day, "tokens": tokens, "picousd": picousd})


def lock_reservations(connection: Connection, request_ids: Sequence[str]) -> None:
    """Before their generations are locked, if the transaction will settle any of them."""
    if locks.has_other_writers(connection):
        connection.execute(_OF_REQUESTS, {"ids": request_ids}).all()


def _of_request(connection: Connection, request_id: str) -> list[_Reserved]:
    return [_Reserved(*row) for row in _OF_REQUEST.execute(connection, {"id": request_id})]


def _each(row: _Reserved) -> Amount:
    """The maximum cost of each attempt."""
    return Amount(row.tokens, _usd(row.picousd))


def _nothing_to_extend(connection: Connection, reservation: Reservation, before: LimitStatuses) -> LimitStatus | None:
    """The limit that refuses a retry whose call was settled meanwhile: nothing is left to add its attempt to."""
    if reservation.demand.call or reservation.demand.amount == FREE:
        return None
    if connection.execute(_OPEN, {"id": reservation.request_id}).first() is not None:
        return None
    return next(limit for limit in before if limit.kind.is_budget)


def _statuses(accounts: Sequence[Account], tallies: dict[Account, Tally], now_ms: int) -> LimitStatuses:
    return tuple(limit for account in accounts for limit in limits_of(account, tallies[account], now_ms))


def _tally(connection: Connection, account: Account, now_ms: int, charged: Charges) -> Tally:
    """The counts that the account's limits need; the rest stays 0. `charged`: what the transaction will add."""
    tally: dict[str, Any] = {}
    if account.allowance.generations_per_minute is not None:
        minute = {"of": account.name, "now_s": now_ms // SECOND_MS}
        generations, first = _MINUTE.execute(connection, minute).fetchone()
        tally |= {"generations": int(generations), "frees_ms": None if first is None else second_frees_ms(first)}
    if account.counts_calls:
        today = now_ms // DAY_MS
        at = {"of": account.name, "on": today, "now": now_ms}
        row = connection.execute(_RESERVED_AND_USED if account.has_budget else _UNDER_WAY, at).one()
        calls, tokens, picousd, *used = map(int, row)
        tally |= {"calls": calls, "reserved": Amount(tokens, _usd(picousd))}
        if used:
            more = charged.get((account.name, today), (0, 0))
            tally["used"] = Amount(used[0] + more[0], _usd(used[1] + more[1]))
    return Tally(**tally)


def _write(connection: Connection, account: Account, reservation: Reservation) -> None:
    demand = reservation.demand
    if demand.generation and account.allowance.generations_per_minute is not None:
        second = {"account": account.name, "second": reservation.now_ms // SECOND_MS, "generations": 1}
        _ADD_SECOND.execute(connection, second)
    if demand.call and account.counts_calls:
        connection.execute(_INSERT, _row(account, reservation))
    elif demand.amount != FREE and account.has_budget:
        connection.execute(_ONE_MORE, {"id": reservation.request_id, "of": account.name})


def _row(account: Account, reservation: Reservation) -> dict[str, Any]:
    amount = reservation.demand.amount
    return {
        "request_id": reservation.request_id,
        "account": account.name,
        "day": reservation.now_ms // DAY_MS,
        "attempts": 1,
        "tokens": amount.tokens,
        "picousd": to_pico(amount.usd),
        "expires_ms": reservation.expires_ms,
    }


def _usd(picousd: int) -> Decimal:
    return from_pico(picousd) or ZERO_USD
