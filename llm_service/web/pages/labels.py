"""What states and limits are called for people."""

from decimal import Decimal

from llm_service.core.model import Status
from llm_service.core.pricing import plain
from llm_service.core.standing import Kind, Limit

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
    Kind.GENERATIONS: "Generations a minute",
    Kind.CALLS: "Calls to models at once",
    Kind.TOKENS: "Tokens a day",
    Kind.USD: "Money a day",
}


def limit_amount(limit: Limit, name: str) -> str:
    """`most`, `used`, `reserved` or `left`, in its unit."""
    amount: Decimal = getattr(limit, name)
    return exact_usd(plain(amount)) if limit.kind is Kind.USD else f"{amount:,.0f}"
