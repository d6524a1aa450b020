"""Usage reports: sums by hour, day, template, revision, model or owner, within a period."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import FieldError, InvalidInput
from .ports import UsageStore
from .sums import GroupBy, UsageLine, UsageSums, total_of

# 9999-12-31T23:00:00Z, the last hour that can be written.
LAST_HOUR = 70_389_527

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT = re.compile(
    rf"{_DATE}(T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """`since_hour` and `until_hour` (exclusive) count from 1970, UTC; None = unlimited."""

    group_by: GroupBy
    since_hour: int | None
    until_hour: int | None
    lines: Sequence[UsageLine]
    total: UsageSums


class UsageReports:
    """Reports of the stored sums. Deleting history does not change them."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store

    def report(
        self, owner: str | None, group_by: GroupBy = GroupBy.DAY, since: str | None = None, until: str | None = None
    ) -> UsageReport:
        """`since` and `until` are dates or RFC 3339 times. Sums are stored by hour: `since` is rounded down and `until`
        up to a full hour. `owner` None = all owners.

        Raises `InvalidInput`.
        """
        first, end = _hour("since", since), _hour("until", until, up=True)
        if first is not None and end is not None and end <= first:
            raise InvalidInput.of([FieldError("until", "must be later than since")])
        return self.between(owner, group_by, first, end)

    def between(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> UsageReport:
        """As `report`, with hours since 1970."""
        lines = self._store.lines(owner, group_by, since_hour, until_hour)
        return UsageReport(
            group_by, since_hour, until_hour, _ordered(group_by, lines), total_of(line.sums for line in lines)
        )


def _ordered(group_by: GroupBy, lines: Iterable[UsageLine]) -> list[UsageLine]:
    """By time, or with the most requests first."""
    if group_by in (GroupBy.HOUR, GroupBy.DAY):
        return sorted(lines, key=lambda line: line.key)
    return sorted(lines, key=lambda line: (-line.sums.requests, line.key))


def _hour(name: str, text: str | None, *, up: bool = False) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
        # Before the year 1 or after 9999, in UTC, there is no such time.
        since_1970_s = None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        since_1970_s = None
    if since_1970_s is None or since_1970_s < 0:
        raise InvalidInput.of([FieldError(name, "must be a date (2026-11-24) or a time (2026-11-24T08:00:00Z), UTC")])
    hour = math.ceil(since_1970_s / 3600) if up else math.floor(since_1970_s / 3600)
    return min(hour, LAST_HOUR)
