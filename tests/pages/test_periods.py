"""The period of the usage page."""

import pytest

from llm_service.core.clock import DAY_MS, HOUR_MS
from llm_service.core.errors import InvalidInput
from llm_service.core.usage.sums import GroupBy
from llm_service.web.pages.periods import MAX_DAYS, MAX_STEPS, RANGES, Period, read_period

# 2026-11-29, 14:30
TODAY = 20_786
NOW_MS = TODAY * DAY_MS + 14 * HOUR_MS + HOUR_MS // 2


def read(**given: str) -> Period:
    return read_period(given, NOW_MS)


@pytest.mark.parametrize("name", RANGES)
def test_a_range_ends_with_the_current_step(name: str) -> None:
    period = read(range=name)
    assert (period.steps, period.step_h) == RANGES[name]
    key = NOW_MS // HOUR_MS if name == "24h" else TODAY
    assert period.step_of(key) == period.steps - 1
    assert period.before.until_hour == period.since_hour
    assert period.before.steps == period.steps


def test_labels() -> None:
    assert [read(range="24h").label(step) for step in (0, 23)] == ["15:00", "14:00"]
    assert [read(range="7d").label(step) for step in (0, 6)] == ["Nov 23", "Nov 29"]
    assert read(since="2026-11-28").label(25) == "Nov 29, 01:00"
    assert read(since="2020-01-01").label(0) == "2020 Jan 1"


def test_both_days_are_included() -> None:
    period = read(since="2026-11-01", until="2026-11-10")
    assert period.days == ("2026-11-01", "2026-11-10")
    assert (period.steps, period.group_by, period.name) == (10, GroupBy.DAY, "")
    assert period.before.days == ("2026-10-22", "2026-10-31")


def test_one_day_is_enough() -> None:
    assert read(since="2026-11-28").days == ("2026-11-28", "2026-11-29")
    assert read(until="2026-11-01").days == ("2026-10-03", "2026-11-01")
    assert read(since=" ", until="").name == "30d"
    assert read(until="2030-01-01").days[1] == "2026-11-29", "nothing happened after today"


@pytest.mark.parametrize(
    ("since", "group_by", "step_h"),
    [
        ("2026-11-29", GroupBy.HOUR, 1),
        ("2026-11-28", GroupBy.HOUR, 1),
        ("2026-11-27", GroupBy.DAY, 24),
        ("2026-08-30", GroupBy.DAY, 24),
        ("2026-08-29", GroupBy.DAY, 7 * 24),
        ("2020-01-01", GroupBy.DAY, 30 * 24),
    ],
)
def test_long_periods_have_wider_steps(since: str, group_by: GroupBy, step_h: int) -> None:
    period = read(since=since)
    assert (period.group_by, period.step_h) == (group_by, step_h)
    assert period.steps <= MAX_STEPS
    assert period.step_of(period.since_hour // (1 if step_h == 1 else 24)) == 0
    assert period.step_of(TODAY * 24 if step_h == 1 else TODAY) == period.steps - (24 if step_h == 1 else 1)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"since": "2026-11-02", "until": "2026-11-01"}, "until", "must not be before the first day"),
        ({"since": "2026-11-30"}, "since", "must not be in the future"),
        ({"since": "0001-01-01"}, "since", f"must be at most {MAX_DAYS:,} days before the last day"),
        ({"since": "yesterday"}, "since", "must be a date"),
        ({"range": "year"}, "range", "must be one of: 24h, 7d, 30d, 90d"),
    ],
)
def test_what_cannot_be_shown(given: dict[str, str], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(**given)
    (fault,) = raised.value.fields
    assert fault.field == field
    assert words in fault.message
