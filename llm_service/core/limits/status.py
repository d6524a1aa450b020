"""The status of a limit, for errors, headers and pages."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class LimitKind(StrEnum):
    """What is limited. `CALLS` are concurrent model calls."""

    GENERATIONS = "generations-per-minute"
    CALLS = "concurrent-calls"
    TOKENS = "tokens-per-day"
    USD = "usd-per-day"

    @property
    def is_budget(self) -> bool:
        return self in (LimitKind.TOKENS, LimitKind.USD)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """Amounts are generations, calls, tokens or US dollars. `own`: the caller's; else that of all callers together.

    `reserved` is the maximum that running calls may still use. `resets_ms` (Unix time): when some of it becomes free by
    itself; None if only the end of a call frees it.
    """

    kind: LimitKind
    own: bool
    most: Decimal
    used: Decimal
    reserved: Decimal
    resets_ms: int | None

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.most - self.used - self.reserved)

    @property
    def share_left(self) -> float:
        return float(self.left / self.most) if self.most else 0.0


LimitStatuses = tuple[LimitStatus, ...]


def tightest(statuses: LimitStatuses) -> LimitStatus | None:
    """The most relevant limit: the rate limit with the smallest share left, or else such a budget.

    None if there is neither. Slots do not count, because they become free at any moment.
    """
    rates = [limit for limit in statuses if limit.kind is LimitKind.GENERATIONS]
    budgets = [limit for limit in statuses if limit.kind.is_budget]
    return min(rates or budgets, key=lambda limit: limit.share_left, default=None)
