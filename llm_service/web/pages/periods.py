"""The period that the usage page shows: one that ends now, or days that people chose."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from llm_service.core.clock import DAY_MS, HOUR_MS
from llm_service.core.dates import optional_moment
from llm_service.core.errors import FieldError, InvalidInput
from llm_service.core.usage.sums import GroupBy

DAY_H = 24
# Days of which a chart shows each hour.
MAX_HOURLY_DAYS = 2
# Wider steps are chosen for more: a bar must be wide enough to be seen and hit.
MAX_STEPS = 92
STEP_DAYS = (1, 7, 30, 90)
MAX_DAYS = MAX_STEPS * STEP_DAYS[-1]


@dataclass(frozen=True, slots=True)
class Period:
    """Hours since 1970, UTC; `until_hour` is exclusive. A chart has a bar for each `step_h` hours.

    `name` is that of a range in the address, empty if people chose its days.
    """

    name: str
    since_hour: int
    until_hour: int
    step_h: int

    @property
    def group_by(self) -> GroupBy:
        return GroupBy.HOUR if self.step_h == 1 else GroupBy.DAY

    @property
    def steps(self) -> int:
        return -(-(self.until_hour - self.since_hour) // self.step_h)

    @property
    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        length = self.until_hour - self.since_hour
        return Period("", self.since_hour - length, self.since_hour, self.step_h)

    @property
    def days(self) -> tuple[str, str]:
        """Its first and last day, as in a form and an address."""
        return f"{_moment(self.since_hour):%Y-%m-%d}", f"{_moment(self.until_hour - 1):%Y-%m-%d}"

    def step_of(self, key: int) -> int:
        """The step that a line of `group_by` belongs to; `key` counts hours or days since 1970."""
        hour = key if self.step_h == 1 else key * DAY_H
        return (hour - self.since_hour) // self.step_h

    def label(self, step: int) -> str:
        """The beginning of a step: `14:00`, `Nov 3`, `Nov 3, 14:00` or `2026 Nov 3`, as short as it is clear."""
        moment = _moment(self.since_hour + step * self.step_h)
        day, hour = f"{moment:%b} {moment.day}", f"{moment:%H:%M}"
        if self.step_h == 1:
            return hour if self.steps <= DAY_H else f"{day}, {hour}"
        return day if self.until_hour - self.since_hour <= 366 * DAY_H else f"{moment.year} {day}"


# By name: how many steps, and how many hours each has.
RANGES: Mapping[str, tuple[int, int]] = {"24h": (24, 1), "7d": (7, DAY_H), "30d": (30, DAY_H), "90d": (90, DAY_H)}
DEFAULT = "30d"


def read_period(given: Mapping[str, str], now_ms: int) -> Period:
    """The period that an address names: `range`, or `since` and `until`, which are days and both included.

    One of them is enough: `since` alone ends today. Raises `InvalidInput`.
    """
    since_ms, until_ms = (optional_moment(name, given.get(name)) for name in ("since", "until"))
    if since_ms is None and until_ms is None:
        return period_of(given.get("range") or DEFAULT, now_ms)
    today = now_ms // DAY_MS
    last = today if until_ms is None else min(until_ms // DAY_MS, today)
    first = last - 29 if since_ms is None else since_ms // DAY_MS
    if first > last:
        message = "must not be in the future" if first > today else "must not be before the first day"
        raise InvalidInput.of([FieldError("since" if first > today else "until", message)])
    days = last - first + 1
    if days > MAX_DAYS:
        raise InvalidInput.of([FieldError("since", f"must be at most {MAX_DAYS:,} days before the last day")])
    step_days = next(step_days for step_days in STEP_DAYS if -(-days // step_days) <= MAX_STEPS)
    return Period("", first * DAY_H, (last + 1) * DAY_H, 1 if days <= MAX_HOURLY_DAYS else step_days * DAY_H)


def period_of(name: str, now_ms: int) -> Period:
    """The range with this name, which ends with the current step. Raises `InvalidInput`."""
    if name not in RANGES:
        raise InvalidInput.of([FieldError("range", f"must be one of: {', '.join(RANGES)}")])
    steps, step_h = RANGES[name]
    until = now_ms // (HOUR_MS * step_h) + 1
    return Period(name, (until - steps) * step_h, until * step_h, step_h)


def _moment(hour: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(hours=hour)
