"""The rules of limits and budgets: accounts, demands, and when a demand is refused.

Everything here is a function of values. A store keeps the tallies and calls `refusal` in the transaction in which it
writes, so two requests cannot use the same remainder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ..access.caller import UNLIMITED, Allowance, Caller
from ..clock import DAY_MS
from ..usage.pricing import ZERO_USD
from ..usage.tokens import Usage
from .status import LimitKind, LimitStatus, LimitStatuses

SECOND_MS = 1000
MINUTE_S = 60
EVERYONE = "everyone"
# The output limit of a call that has no other, if a budget needs one to reserve.
BUDGET_OUTPUT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and US dollars of a budget."""

    tokens: int = 0
    usd: Decimal = ZERO_USD

    def plus(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.usd + other.usd)

    def minus(self, other: "Amount") -> "Amount":
        return Amount(self.tokens - other.tokens, self.usd - other.usd)

    def times(self, number: int) -> "Amount":
        return Amount(self.tokens * number, self.usd * number)


FREE = Amount()


@dataclass(frozen=True, slots=True)
class Account:
    """Whose usage is counted: that of a key, of an owner without a key, or of everyone together."""

    name: str
    allowance: Allowance

    @property
    def counts_calls(self) -> bool:
        """Whether its running calls must be counted."""
        return self.allowance.concurrent is not None or self.has_budget

    @property
    def has_budget(self) -> bool:
        return self.allowance.usd_per_day is not None or self.allowance.tokens_per_day is not None


@dataclass(frozen=True, slots=True)
class Tally:
    """What an account has used. `frees_ms` (Unix time): when the oldest of the minute's generations is a minute old."""

    generations: int = 0
    frees_ms: int | None = None
    calls: int = 0
    used: Amount = FREE
    reserved: Amount = FREE

    def plus(self, demand: "Demand", now_ms: int) -> "Tally":
        """The tally after a granted demand."""
        return replace(
            self,
            generations=self.generations + demand.generation,
            frees_ms=self.frees_ms or (second_frees_ms(now_ms // SECOND_MS) if demand.generation else None),
            calls=self.calls + demand.call,
            reserved=self.reserved.plus(demand.amount),
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request needs: a generation, a model call, and the maximum cost of one attempt."""

    generation: bool = False
    call: bool = False
    amount: Amount = FREE


@dataclass(frozen=True, slots=True)
class Reservation:
    """A demand on all of the accounts or none. At `expires_ms` it expires and is charged in full."""

    request_id: str
    accounts: Sequence[Account]
    demand: Demand
    now_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class ReservationResult:
    """The limits after it. `refused`: the limit that refused it; then nothing was reserved."""

    statuses: LimitStatuses
    refused: LimitStatus | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call used, as far as known.

    `unreported`: the number of attempts that may be billed without having reported their tokens; None = unknown.
    """

    request_id: str
    billed: Usage
    cost_usd: Decimal | None
    unreported: int | None

    @property
    def is_nothing(self) -> bool:
        """Whether it certainly costs nothing."""
        return self.unreported == 0 and not self.cost_usd and not _tokens(self.billed)


def accounts_of(caller: Caller, everyone: Allowance) -> tuple[Account, ...]:
    """The accounts with limits. Each key has its own account."""
    if caller.allowance is UNLIMITED is everyone or caller.allowance == UNLIMITED == everyone:
        return ()
    name = f"key:{caller.key_id}" if caller.key_id is not None else f"owner:{caller.owner}"
    both = (Account(name, caller.allowance), Account(EVERYONE, everyone))
    return tuple(account for account in both if account.allowance != UNLIMITED)


def second_frees_ms(second: int) -> int:
    """When generations counted in this second of Unix time are more than a minute old."""
    return (second + MINUTE_S + 1) * SECOND_MS


def limits_of(account: Account, tally: Tally, now_ms: int) -> LimitStatuses:
    """The account's current limits, in the order of checking."""
    allowance, own = account.allowance, account.name != EVERYONE
    tomorrow_ms = (now_ms // DAY_MS + 1) * DAY_MS
    used, reserved = tally.used, tally.reserved
    rows: list[tuple[LimitKind, Decimal | int | None, Decimal | int, Decimal | int, int | None]] = [
        (LimitKind.GENERATIONS, allowance.generations_per_minute, tally.generations, 0, tally.frees_ms or now_ms),
        (LimitKind.CALLS, allowance.concurrent, tally.calls, 0, None),
        (LimitKind.TOKENS, allowance.tokens_per_day, used.tokens, reserved.tokens, tomorrow_ms),
        (LimitKind.USD, allowance.usd_per_day, used.usd, reserved.usd, tomorrow_ms),
    ]
    return tuple(
        LimitStatus(kind, own, Decimal(most), Decimal(has), Decimal(held), resets_ms)
        for kind, most, has, held, resets_ms in rows
        if most is not None
    )


def demanded_of(kind: LimitKind, demand: Demand) -> Decimal:
    """The demand in the unit of this limit."""
    wanted = {
        LimitKind.GENERATIONS: demand.generation,
        LimitKind.CALLS: demand.call,
        LimitKind.TOKENS: demand.amount.tokens,
    }
    return demand.amount.usd if kind is LimitKind.USD else Decimal(wanted[kind])


def refusal(statuses: LimitStatuses, demand: Demand) -> LimitStatus | None:
    """The first limit that the demand exceeds; None if there is none."""
    for limit in statuses:
        wanted = demanded_of(limit.kind, demand)
        if wanted and limit.used + limit.reserved + wanted > limit.most:
            return limit
    return None


def charge(reserved: Amount, attempts: int, settlement: Settlement) -> Amount:
    """The cost of a call that is over. `reserved` is the maximum of each of its `attempts`.

    Reported usage counts as reported. Each unreported attempt counts as its reservation, and so does every attempt if
    the end of the call is unknown.
    """
    if settlement.unreported is None:
        return reserved.times(attempts)
    tokens, cost_usd = _tokens(settlement.billed), settlement.cost_usd
    if cost_usd is None:
        cost_usd = reserved.usd * attempts if tokens else ZERO_USD
    return Amount(tokens, cost_usd).plus(reserved.times(settlement.unreported))


def _tokens(billed: Usage) -> int:
    return (billed.input_tokens or 0) + (billed.output_tokens or 0)
