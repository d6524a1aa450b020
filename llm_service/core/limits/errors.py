"""A limit that has no room, as an error."""

from ..errors import ServiceError
from .status import LimitStatus


class LimitError(ServiceError):
    """`limit` is how it stands; None where the error came by way of plain values (`Failure`)."""

    retryable = True
    may_be_billed = False
    limit: LimitStatus | None = None


class RateLimited(LimitError):
    """Too many generations within a minute, or calls at once."""

    code = "rate-limited"


class BudgetExhausted(LimitError):
    """The most that the call could cost is more than what is left of the day's budget."""

    code = "budget-exhausted"
