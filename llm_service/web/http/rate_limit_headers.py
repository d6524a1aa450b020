"""The limit headers of an answer.

They are `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy` of draft-ietf-httpapi-ratelimit-headers up to its 06:
whole numbers, for one limit (`tightest`, or the one that refused). Later drafts put all limits into one structured field, which
few clients read.
"""

from decimal import ROUND_FLOOR, Decimal

from llm_service.core.errors import ServiceError
from llm_service.core.limits.errors import LimitError
from llm_service.core.limits.status import LimitKind, LimitStatus, LimitStatuses, tightest

# The headers allow only whole numbers: money is in millionths of a dollar.
MICRO_USD = Decimal(1_000_000)
_WINDOW_S = {LimitKind.GENERATIONS: 60, LimitKind.TOKENS: 86_400, LimitKind.USD: 86_400}
_UNIT = {LimitKind.TOKENS: "tokens", LimitKind.USD: "micro-usd"}


def limit_headers(statuses: LimitStatuses, now_ms: int) -> dict[str, str]:
    """For an answer: the tightest limit; no headers if nothing is limited."""
    limit = tightest(statuses)
    return {} if limit is None else _headers(limit, now_ms)


def refusal_headers(error: ServiceError, now_ms: int) -> dict[str, str]:
    """For an error: the limit that refused the request."""
    return _headers(error.limit, now_ms) if isinstance(error, LimitError) and error.limit else {}


def _headers(limit: LimitStatus, now_ms: int) -> dict[str, str]:
    # A limit without a reset time frees up when a call ends, which may be any moment: retry after a second.
    reset_s = 1 if limit.resets_ms is None else max(0, -(-(limit.resets_ms - now_ms) // 1000))
    return {
        "RateLimit-Limit": _whole(limit, limit.most),
        "RateLimit-Remaining": _whole(limit, limit.left),
        "RateLimit-Reset": str(reset_s),
        "RateLimit-Policy": _policy(limit),
    }


def _policy(limit: LimitStatus) -> str:
    parts = [f'"{limit.kind.value}"', f"q={_whole(limit, limit.most)}"]
    if limit.kind in _WINDOW_S:
        parts.append(f"w={_WINDOW_S[limit.kind]}")
    if limit.kind in _UNIT:
        parts.append(f'qu="{_UNIT[limit.kind]}"')
    return ";".join(parts)


def _whole(limit: LimitStatus, amount: Decimal) -> str:
    scaled = amount * MICRO_USD if limit.kind is LimitKind.USD else amount
    return f"{scaled.to_integral_value(ROUND_FLOOR):f}"
