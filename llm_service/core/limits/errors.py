"""Errors of exceeded limits."""

from ..errors import ServiceError
from .status import LimitStatus


class LimitError(ServiceError):
    """`limit`: its status; None if the error was rebuilt from plain values (`Failure`)."""

    retryable = True
    may_be_billed = False
    limit: LimitStatus | None = None


class RateLimited(LimitError):
    """Too many generations within a minute, or too many concurrent calls."""

    code = "rate-limited"


class BudgetExhausted(LimitError):
    """The maximum cost of the call is more than what is left of the day's budget."""

    code = "budget-exhausted"
