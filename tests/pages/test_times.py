"""Times as people say them."""

from datetime import UTC, datetime

import pytest

from llm_service.web.pages.times import ago

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ((2026, 11, 29, 12, 0, 5), "just now"),  # by a clock that is ahead
        ((2026, 11, 29, 11, 59, 1), "just now"),
        ((2026, 11, 29, 11, 59, 0), "1 min ago"),
        ((2026, 11, 29, 11, 0, 1), "59 min ago"),
        ((2026, 11, 29, 11, 0, 0), "1 h ago"),
        ((2026, 11, 28, 12, 0, 1), "23 h ago"),
        ((2026, 11, 28, 12, 0, 0), "1 day ago"),
        ((2026, 11, 23), "6 days ago"),
        ((2026, 11, 9), "9 Nov"),
        ((2025, 11, 9), "9 Nov 2025"),
    ],
)
def test_how_long_ago(then: tuple[int, ...], said: str) -> None:
    moments = [int(moment.timestamp() * 1000) for moment in (datetime(*then, tzinfo=UTC), NOW)]  # type: ignore[misc,arg-type]
    assert ago(*moments) == said
