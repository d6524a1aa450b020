"""Applies limits and budgets: checks them before anything is paid for, settles them when an outcome is stored.

A generation counts when it begins, a cache hit too. A model call also needs a slot and budget for its maximum cost.
Both are reserved in the transaction that stores the running generation, and settled in the one that stores its outcome.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ..access.caller import UNLIMITED, Allowance, Caller
from ..clock import Clock
from ..errors import StorageError, UnpricedModel
from ..usage.ports import Prices
from ..usage.pricing import Price, normalize_usd
from .errors import BudgetExhausted, RateLimited
from .ports import LimitStore
from .rules import FREE, Account, Amount, Demand, Reservation, ReservationResult, accounts_of, demanded_of
from .status import LimitKind, LimitStatus, LimitStatuses

# When to try again if running calls may free the missing budget or slot.
BUDGET_RETRY_S = 5
SLOT_RETRY_S = 1

MostTokens = Callable[[], tuple[int, int]]
"""Returns the maximum input and output tokens of one attempt of a call."""


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model that may answer a call."""

    model: str
    provider: str
    most_tokens: MostTokens


class Limiter:
    """Built once per process; holds no state. Without limits it does not use the store."""

    def __init__(
        self, store: LimitStore, prices: Prices, clock: Clock, *, everyone: Allowance = UNLIMITED, expire_s: float
    ) -> None:
        """`everyone`: the limits of all callers together. `expire_s`: after this many seconds every call is over."""
        self._store = store
        self._prices = prices
        self._clock = clock
        self._everyone = everyone
        self._expire_ms = round(expire_s * 1000)

    def admit(self, caller: Caller, request_id: str) -> LimitStatuses:
        """Count a generation. Returns the caller's limits after it.

        Raises `RateLimited`.
        """
        accounts = accounts_of(caller, self._everyone)
        if not accounts:
            return ()
        if all(account.allowance.generations_per_minute is None for account in accounts):
            return self.statuses(caller)
        reservation = self._reservation(request_id, accounts, Demand(generation=True))
        return self.check(self._store.reserve(reservation), reservation)

    def for_call(self, caller: Caller, request_id: str, models: Sequence[AskedModel]) -> Reservation | None:
        """What a call that one of these models answers must reserve; None if nothing limits it.

        Raises `UnpricedModel`.
        """
        accounts = accounts_of(caller, self._everyone)
        if not any(account.counts_calls for account in accounts):
            return None
        demand = Demand(call=True, amount=self._most(accounts, models))
        return self._reservation(request_id, accounts, demand)

    def reserve_retry(self, reservation: Reservation | None) -> bool:
        """Reserve for another attempt too; False if a limit refuses it, or the store fails."""
        if reservation is None or reservation.demand.amount == FREE:
            return True  # it already has its slot
        # Charged to the day on which the call began.
        again = replace(reservation, demand=replace(reservation.demand, call=False))
        try:
            return self._store.reserve(again).refused is None
        except StorageError:
            return False  # the failed attempt's own error is reported

    def check(self, result: ReservationResult, reservation: Reservation) -> LimitStatuses:
        """The limits after a reservation.

        Raises `RateLimited` or `BudgetExhausted` if it was refused.
        """
        limit, demand = result.refused, reservation.demand
        if limit is None:
            return result.statuses
        kind = BudgetExhausted if limit.kind.is_budget else RateLimited
        error = kind(self._detail(limit, demand), retry_after_s=self._wait_s(limit, demand))
        error.limit = limit
        raise error

    def statuses(self, caller: Caller) -> LimitStatuses:
        """The caller's own limits, then those of all callers together."""
        accounts = accounts_of(caller, self._everyone)
        return self._store.statuses(accounts, self._clock.now_ms()) if accounts else ()

    def _reservation(self, request_id: str, accounts: tuple[Account, ...], demand: Demand) -> Reservation:
        now_ms = self._clock.now_ms()
        return Reservation(request_id, accounts, demand, now_ms, now_ms + self._expire_ms)

    def _most(self, accounts: tuple[Account, ...], models: Sequence[AskedModel]) -> Amount:
        """The maximum cost of one attempt, at the most expensive of the models."""
        if not any(account.has_budget for account in accounts):
            return Amount()
        most = [model.most_tokens() for model in models]
        tokens = max(input_tokens + output_tokens for input_tokens, output_tokens in most)
        if all(account.allowance.usd_per_day is None for account in accounts):
            return Amount(tokens)
        costs = [self._price_of(model).max_cost(*each) for model, each in zip(models, most, strict=True)]
        return Amount(tokens, max(costs))

    def _price_of(self, model: AskedModel) -> Price:
        price = self._prices.of(model.model, model.provider)
        if price is None:
            raise UnpricedModel(model.model)
        return price

    def _wait_s(self, limit: LimitStatus, demand: Demand) -> float | None:
        """Seconds until a retry may succeed; None if it cannot."""
        wanted = demanded_of(limit.kind, demand)
        if wanted > limit.most:
            return None
        if limit.resets_ms is None:
            return SLOT_RETRY_S
        if limit.kind.is_budget and limit.used + wanted <= limit.most:
            return BUDGET_RETRY_S
        return max(1.0, -(-(limit.resets_ms - self._clock.now_ms()) // 1000))

    def _detail(self, limit: LimitStatus, demand: Demand) -> str:
        if limit.kind is LimitKind.GENERATIONS:
            whose = "You have used your" if limit.own else "All callers together have used the service's"
            return f"{whose} {limit.most:,} generations for this minute."
        if limit.kind is LimitKind.CALLS:
            whose = "Your" if limit.own else "The service's"
            return f"{whose} limit of {limit.most:,} concurrent calls to models is reached."
        wanted = _shown(limit, demanded_of(limit.kind, demand))
        whose = "your budget" if limit.own else "the service's budget for all callers"
        if demanded_of(limit.kind, demand) > limit.most:
            return (
                f"This call could cost up to {wanted}, which is more than {whose} of {_shown(limit, limit.most)} a day."
            )
        reserved = f" ({_shown(limit, limit.reserved)} reserved for calls in progress)" if limit.reserved else ""
        return (
            f"This call could cost up to {wanted}, but only {_shown(limit, limit.left)} of {whose} of "
            f"{_shown(limit, limit.most)} a day are left{reserved}. The budget resets at 00:00 UTC."
        )


def _shown(limit: LimitStatus, amount: Decimal) -> str:
    return f"{normalize_usd(amount):,f} US dollars" if limit.kind is LimitKind.USD else f"{amount:,} tokens"
