"""The labels of statuses, endings, limits and time ranges on the pages."""

from decimal import Decimal

from llm_service.core.generation.model import GenerationSummary, Status
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

INCOMPLETE_LABELS = {
    "max_output_tokens": "The answer reached its maximum length and was cut off.",
    "content_filter": "The content filter of the model provider ended the answer early.",
}

LIMIT_LABELS = {
    LimitKind.GENERATIONS: "Generations per minute",
    LimitKind.CALLS: "Concurrent model calls",
    LimitKind.TOKENS: "Tokens per day",
    LimitKind.USD: "Cost per day",
}

# By the name of a range of `periods`.
RANGE_LABELS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}


def incomplete_label(reason: str | None) -> str:
    """Why a generation ended before its answer was complete."""
    return INCOMPLETE_LABELS.get(
        reason or "", f"The answer is incomplete ({(reason or 'unknown reason').replace('_', ' ')})."
    )


def state_label(generation: GenerationSummary) -> str:
    """Of a complete answer the more interesting fact: whether it is from the cache."""
    if generation.status is Status.COMPLETED:
        return "cached" if generation.cached else "new"
    return STATUS_LABELS[generation.status]


def limit_amount(limit: LimitStatus, name: str) -> str:
    """`most`, `used`, `reserved` or `left`, with its unit."""
    amount: Decimal = getattr(limit, name)
    return exact_usd(normalize_usd(amount)) if limit.kind is LimitKind.USD else f"{amount:,.0f}"
