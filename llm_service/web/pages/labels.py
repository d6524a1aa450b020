"""What states and limits are called for people."""

from decimal import Decimal

from llm_service.core.generation.model import Status
from llm_service.core.limits.status import LimitKind, LimitStatus
from llm_service.core.usage.pricing import plain

from .numbers import exact_usd

STATUS_LABELS = {
    Status.RUNNING: "running",
    Status.COMPLETED: "complete",
    Status.INCOMPLETE: "incomplete",
    Status.FAILED: "failed",
    Status.CANCELLED: "stopped",
    Status.INTERRUPTED: "interrupted",
}

LIMIT_LABELS = {
    LimitKind.GENERATIONS: "Generations a minute",
    LimitKind.CALLS: "Calls to models at once",
    LimitKind.TOKENS: "Tokens a day",
    LimitKind.USD: "Money a day",
}


def limit_amount(limit: LimitStatus, name: str) -> str:
    """`most`, `used`, `reserved` or `left`, in its unit."""
    amount: Decimal = getattr(limit, name)
    return exact_usd(plain(amount)) if limit.kind is LimitKind.USD else f"{amount:,.0f}"
