"""The labels of statuses, limits and time ranges on the pages."""

from decimal import Decimal

from llm_service.core.generation.model import Status
from llm_service.core.limits.status import LimitKind, LimitStatus
from llm_service.core.usage.pricing import normalize_usd

from .numbers import exact_usd

STATUS_LABELS = {
    Status.RUNNING: "running",
    Status.COMPLETED: "complete",
    Status.INCOMPLETE: "incomplete",
    Status.FAILED: "failed",
    Status.CANCELLED: "stopped",
    Status.INTERRUPTED: "interrupted",
}

# The filters of the history, and the values of those that are yes or no.
FILTER_LABELS = {
    "q": "Search",
    "template_id": "Template",
    "model": "Model",
    "status": "Status",
    "cached": "Cache",
    "starred": "Star",
    "tag": "Tag",
    "since": "From",
    "until": "To",
}
FLAG_LABELS = {
    "cached": {"true": "cached", "false": "not cached"},
    "starred": {"true": "starred", "false": "not starred"},
}

LIMIT_LABELS = {
    LimitKind.GENERATIONS: "Generations per minute",
    LimitKind.CALLS: "Concurrent model calls",
    LimitKind.TOKENS: "Tokens per day",
    LimitKind.USD: "Cost per day",
}

# By the name of a range of `periods`.
RANGE_LABELS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}


def limit_amount(limit: LimitStatus, name: str) -> str:
    """`most`, `used`, `reserved` or `left`, with its unit."""
    amount: Decimal = getattr(limit, name)
    return exact_usd(normalize_usd(amount)) if limit.kind is LimitKind.USD else f"{amount:,.0f}"
