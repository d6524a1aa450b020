"""Taking from limits and settling, inside a transaction of whoever stores a generation or its outcome.

A hold keeps what it came to when its call is over, so that it can be corrected: a bill may come late, or from a process
that was given up.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from llm_service.core.clock import DAY_MS
from llm_service.core.generation.model import Generation
from llm_service.core.limits.rules import (
    MINUTE_S,
    SECOND_MS,
    Account,
    Amount,
    Reservation,
    ReservationResult,
    Tally,
    charge,
    limits_of,
    refusal,
    second_frees_ms,
)
from llm_service.core.limits.status import LimitStatus, LimitStatuses
from llm_service.core.usage.pricing import NOTHING

from .money import from_pico, to_pico
from .tables import limit_days, limit_holds, limit_seconds
from .upsert import adding

_seconds, _days, _holds = limit_seconds.c, limit_days.c, limit_holds.c
_DAY = select(_days.tokens, _days.picousd).where(_days.account == bindparam("of"), _days.day == bindparam("on"))
# Clocks may step back, and requests wait for their turn: a little of what is to come counts as well.
_MINUTE = select(func.coalesce(func.sum(_seconds.generations), 0), func.min(_seconds.second)).where(
    _seconds.account == bindparam("of"),
    _seconds.second.between(bindparam("now_s") - MINUTE_S, bindparam("now_s") + MINUTE_S),
)
_today = _holds.day == bindparam("on")
_UNDER_WAY = select(
    func.coalesce(func.sum(case((_holds.expires_ms > bindparam("now"), 1), else_=0)), 0),
    func.coalesce(func.sum(case((_today, _holds.attempts * _holds.tokens), else_=0)), 0),
    func.coalesce(func.sum(case((_today, _holds.attempts * _holds.picousd), else_=0)), 0),
).where(_holds.account == bindparam("of"), _holds.spent_tokens.is_(None))
_OF_REQUEST = select(limit_holds).where(_holds.request_id == bindparam("id")).order_by(_holds.account).with_for_update()
_HELD = select(_holds.account).where(_holds.request_id == bindparam("id"), _holds.spent_tokens.is_(None))
_INSERT = insert(limit_holds)
_ADD_SECOND = adding(limit_seconds, ("account", "second"), ("generations",))
_ADD_DAY = adding(limit_days, ("account", "day"), ("tokens", "picousd"))
_mine = (_holds.request_id == bindparam("id"), _holds.account == bindparam("of"))
_ONE_MORE = update(limit_holds).where(*_mine, _holds.spent_tokens.is_(None)).values(attempts=_holds.attempts + 1)
_SPENT = update(limit_holds).where(*_mine).values(spent_tokens=bindparam("spent"), spent_picousd=bindparam("money"))


def take(connection: Connection, hold: Reservation) -> ReservationResult:
    """Take what the hold asks from all its accounts, or nothing where one of them has no room."""
    # Always in the same order, so that two transactions cannot wait for each other.
    accounts = sorted(hold.accounts, key=lambda account: account.name)
    tallies = {account: _tally(connection, account, hold.now_ms, lock=True) for account in accounts}
    before = _standing(hold.accounts, tallies, hold.now_ms)
    refused = refusal(before, hold.ask) or _nothing_to_extend(connection, hold, before)
    if refused is not None:
        return ReservationResult(before, refused)
    for account in accounts:
        _write(connection, account, hold)
    after = {account: tally.plus(hold.ask, hold.now_ms) for account, tally in tallies.items()}
    return ReservationResult(_standing(hold.accounts, after, hold.now_ms))


def _nothing_to_extend(connection: Connection, hold: Reservation, standing: LimitStatuses) -> LimitStatus | None:
    """A further attempt adds to what its call holds; where that was settled meanwhile, nothing would be reserved for it."""
    if hold.ask.call or hold.ask.amount == Amount():
        return None
    if connection.execute(_HELD, {"id": hold.request_id}).first() is not None:
        return None
    return next(limit for limit in standing if limit.kind.is_budget)


def standing(connection: Connection, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
    tallies = {account: _tally(connection, account, now_ms) for account in accounts}
    return _standing(accounts, tallies, now_ms)


def settle(connection: Connection, generation: Generation) -> None:
    """Charge what a call came to instead of what was held for it, or than what it was charged before."""
    for row in connection.execute(_OF_REQUEST, {"id": generation.request_id}).all():
        each = Amount(row.tokens, _usd(row.picousd))
        known = generation.billed, generation.cost_usd, generation.unreported
        charge_hold(connection, row, charge(each, row.attempts, *known))


def charge_hold(connection: Connection, row: Row[Any], amount: Amount) -> None:
    picousd = to_pico(amount.usd) or 0
    spent = {"id": row.request_id, "of": row.account, "spent": amount.tokens, "money": picousd}
    connection.execute(_SPENT, spent)
    more = {"tokens": amount.tokens - (row.spent_tokens or 0), "picousd": picousd - (row.spent_picousd or 0)}
    connection.execute(_ADD_DAY[connection.dialect.name], {"account": row.account, "day": row.day, **more})


def _standing(accounts: Sequence[Account], tallies: dict[Account, Tally], now_ms: int) -> LimitStatuses:
    return tuple(limit for account in accounts for limit in limits_of(account, tallies[account], now_ms))


def _tally(connection: Connection, account: Account, now_ms: int, *, lock: bool = False) -> Tally:
    """What the account's limits are about; the rest stays 0."""
    tally: dict[str, Any] = {}
    if lock:
        _lock(connection, account, now_ms)
    if account.allowance.generations_per_minute is not None:
        generations, first = connection.execute(_MINUTE, {"of": account.name, "now_s": now_ms // SECOND_MS}).one()
        tally |= {"generations": int(generations), "frees_ms": None if first is None else second_frees_ms(first)}
    if account.holds:
        at = {"of": account.name, "on": now_ms // DAY_MS, "now": now_ms}
        calls, tokens, picousd = connection.execute(_UNDER_WAY, at).one()
        tally |= {"calls": int(calls), "reserved": Amount(int(tokens), _usd(int(picousd)))}
    if account.has_budget:
        used = connection.execute(_DAY, {"of": account.name, "on": now_ms // DAY_MS}).one_or_none()
        tally["used"] = Amount(used.tokens, _usd(used.picousd)) if used else Amount()
    return Tally(**tally)


def _lock(connection: Connection, account: Account, now_ms: int) -> None:
    """Keep others from the account until the transaction ends. On SQLite nobody else writes anyway."""
    if connection.dialect.name != "sqlite":
        row = {"account": account.name, "day": now_ms // DAY_MS, "tokens": 0, "picousd": 0}
        connection.execute(_ADD_DAY[connection.dialect.name], row)


def _write(connection: Connection, account: Account, hold: Reservation) -> None:
    ask = hold.ask
    if ask.generation and account.allowance.generations_per_minute is not None:
        second = {"account": account.name, "second": hold.now_ms // SECOND_MS, "generations": 1}
        connection.execute(_ADD_SECOND[connection.dialect.name], second)
    if ask.call and account.holds:
        connection.execute(_INSERT, _row(account, hold))
    elif ask.amount != Amount() and account.has_budget:
        connection.execute(_ONE_MORE, {"id": hold.request_id, "of": account.name})


def _row(account: Account, hold: Reservation) -> dict[str, Any]:
    amount = hold.ask.amount
    return {
        "request_id": hold.request_id,
        "account": account.name,
        "day": hold.now_ms // DAY_MS,
        "attempts": 1,
        "tokens": amount.tokens,
        "picousd": to_pico(amount.usd),
        "expires_ms": hold.expires_ms,
    }


def _usd(picousd: int) -> Any:
    return from_pico(picousd) or NOTHING
