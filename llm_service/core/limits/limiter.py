"""Limits and budgets at work: asked before anything is paid, kept right by whatever stores an outcome.

A generation is counted when it begins, a hit of the cache too. A call to a model also needs a slot and room for the
most that it can cost; the store takes both in the transaction that stores the running generation, and gives back what
was not used in the one that stores its outcome.
"""

from dataclasses import replace
from decimal import Decimal

from ..access.caller import UNLIMITED, Allowance, Caller
from ..clock import Clock
from ..errors import StorageError, UnpricedModel
from ..generation.preparation import PreparedRequest
from ..generation.preview import most_input_tokens
from ..usage.ports import Prices
from ..usage.pricing import plain
from .errors import BudgetExhausted, RateLimited
from .ports import LimitStore
from .rules import FREE, Account, Amount, Demand, Reservation, ReservationResult, accounts_of, asked_of
from .status import LimitKind, LimitStatus, LimitStatuses

# Calls under way that end may free what is missing: when to look again.
SOON_S = 5
SLOT_S = 1


class Limiter:
    """Built once per process; holds no state of its own. Where nothing is limited it asks the store nothing."""

    def __init__(
        self, store: LimitStore, prices: Prices, clock: Clock, *, everyone: Allowance = UNLIMITED, lapse_s: float
    ) -> None:
        """`everyone`: the limits of all callers together. `lapse_s`: when a call is surely over, however it ended."""
        self._store = store
        self._prices = prices
        self._clock = clock
        self._everyone = everyone
        self._lapse_ms = round(lapse_s * 1000)

    def admit(self, caller: Caller, request_id: str) -> LimitStatuses:
        """Count a generation; the caller's limits as they stand then.

        Raises `RateLimited`.
        """
        accounts = accounts_of(caller, self._everyone)
        if not accounts:
            return ()
        if all(account.allowance.generations_per_minute is None for account in accounts):
            return self.standing(caller)
        ask = Demand(generation=True)
        return self.granted(self._store.take(self._hold(request_id, accounts, ask)), ask)

    def hold(self, prepared: PreparedRequest, request_id: str) -> Reservation | None:
        """What a call needs to be let through; None where nothing limits it. The store takes it (`HistoryStore.start`).

        Raises `UnpricedModel`.
        """
        accounts = accounts_of(prepared.caller, self._everyone)
        if not any(account.holds for account in accounts):
            return None
        return self._hold(request_id, accounts, Demand(call=True, amount=self._most(prepared, accounts)))

    def extend(self, hold: Reservation) -> bool:
        """Reserve for another attempt as well; False where there is no room for it, or that cannot be found out."""
        if hold.ask.amount == FREE:
            return True  # it has its slot already
        # Of the day when the call began: that is the one it is charged to.
        again = replace(hold, ask=replace(hold.ask, call=False))
        try:
            return self._store.take(again).refused is None
        except StorageError:
            return False  # the attempt before has an error of its own to tell

    def granted(self, taken: ReservationResult, ask: Demand) -> LimitStatuses:
        """How the limits stand after what was taken.

        Raises `RateLimited` or `BudgetExhausted` where it was refused.
        """
        limit = taken.refused
        if limit is None:
            return taken.standing
        kind = BudgetExhausted if limit.kind.is_budget else RateLimited
        error = kind(self._detail(limit, ask), retry_after_s=self._wait_s(limit, ask))
        error.limit = limit
        raise error

    def standing(self, caller: Caller) -> LimitStatuses:
        """The limits of the caller's own, then those of all callers together."""
        accounts = accounts_of(caller, self._everyone)
        return self._store.standing(accounts, self._clock.now_ms()) if accounts else ()

    def _hold(self, request_id: str, accounts: tuple[Account, ...], ask: Demand) -> Reservation:
        now_ms = self._clock.now_ms()
        return Reservation(request_id, accounts, ask, now_ms, now_ms + self._lapse_ms)

    def _most(self, prepared: PreparedRequest, accounts: tuple[Account, ...]) -> Amount:
        """The most that one attempt can come to."""
        if not any(account.has_budget for account in accounts):
            return Amount()
        call = prepared.call
        into, out = most_input_tokens(call), int(call.options["max_output_tokens"])
        if all(account.allowance.usd_per_day is None for account in accounts):
            return Amount(into + out)
        price = self._prices.of(call.model)
        if price is None:
            raise UnpricedModel(call.model)
        return Amount(into + out, price.most(into, out))

    def _wait_s(self, limit: LimitStatus, ask: Demand) -> float | None:
        """When to ask again; None where that would not help."""
        wanted = asked_of(limit.kind, ask)
        if wanted > limit.most:
            return None
        if limit.resets_ms is None:
            return SLOT_S
        if limit.kind.is_budget and limit.used + wanted <= limit.most:
            return SOON_S
        return max(1.0, -(-(limit.resets_ms - self._clock.now_ms()) // 1000))

    def _detail(self, limit: LimitStatus, ask: Demand) -> str:
        whose = "Your limit" if limit.own else "The service's limit for all its callers"
        if limit.kind is LimitKind.GENERATIONS:
            return f"{whose} is {limit.most:,} generations a minute, and they were used."
        if limit.kind is LimitKind.CALLS:
            return f"{whose} is {limit.most:,} calls to models at once, and so many are under way."
        wanted = _shown(limit, asked_of(limit.kind, ask))
        whose = "your budget" if limit.own else "the service's budget for all its callers"
        if asked_of(limit.kind, ask) > limit.most:
            return f"This call could come to {wanted} at most, which is more than {whose} of {_shown(limit, limit.most)} a day."
        held = f" ({_shown(limit, limit.reserved)} are reserved for calls under way)" if limit.reserved else ""
        return (
            f"This call could come to {wanted} at most, and {_shown(limit, limit.left)} of {whose} of "
            f"{_shown(limit, limit.most)} a day are left{held}. A new day begins at 00:00 UTC."
        )


def _shown(limit: LimitStatus, amount: Decimal) -> str:
    return f"{plain(amount):,f} US dollars" if limit.kind is LimitKind.USD else f"{amount:,} tokens"
