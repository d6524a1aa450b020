"""Times as people say them. The exact time is in a title."""

from datetime import UTC, datetime

from llm_service.core.clock import DAY_MS, HOUR_MS, MINUTE_MS

_WEEK_DAYS = 7


def ago(then_ms: int, now_ms: int) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`, then the date: `12 Nov`, `12 Nov 2025`."""
    age_ms = now_ms - then_ms
    if age_ms < MINUTE_MS:
        return "just now"
    if age_ms < HOUR_MS:
        return f"{age_ms // MINUTE_MS} min ago"
    if age_ms < DAY_MS:
        return f"{age_ms // HOUR_MS} h ago"
    if age_ms < _WEEK_DAYS * DAY_MS:
        days = age_ms // DAY_MS
        return f"{days} {'day' if days == 1 else 'days'} ago"
    then, now = (datetime.fromtimestamp(time_ms / 1000, UTC) for time_ms in (then_ms, now_ms))
    return f"{then.day} {then:%b}" if then.year == now.year else f"{then.day} {then:%b %Y}"
