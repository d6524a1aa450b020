"""Texts of the pages: labels of statuses, endings, limits and time ranges, and what to do about errors."""

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

THEME_LABELS = {"system": "As the system", "light": "Light", "dark": "Dark"}

# Around the blocks of a formatted answer.
CODE_LABEL, COPY_LABEL, TABLE_LABEL = "Code", "Copy", "Table"
# By whether the task is done.
TASK_LABELS = {True: "Done", False: "Not done"}

# By the name of a range of `periods`.
RANGE_LABELS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}

# What people do about an error of a page, where the remedy of `PROBLEMS` is for programs.
PAGE_REMEDIES = {
    "not-found": "Check the address. Your generations are at /history, the templates at /templates.",
    "unknown-template": "Choose one of the templates at /templates.",
    "not-allowed": "Sign out and sign in with a key that has this permission, or ask the operator of this service for one.",
    "method-not-allowed": "Open the page by a link, or send its form again.",
    "csrf": "Go back, reload the page, and send the form again.",
    "untrusted-host": "Open the page under the name that the operator gave you.",
    "too-large": "Go back and shorten the text.",
    "unsupported-media-type": "Go back and send the form again.",
}


def page_remedy(code: str, remedy: str) -> str:
    return PAGE_REMEDIES.get(code, remedy)


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
