"""Reports of usage: the sums by hour, day, template, revision, model or owner, within a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import FieldError, InvalidInput
from .ports import UsageStore
from .sums import HOUR_MS, GroupBy, UsageLine, UsageSums, total_of

# The last that can be written: 9999-12-31T23:00:00Z.
LAST_HOUR = 70_389_527


@dataclass(frozen=True, slots=True)
class UsageReport:
    """`since_hour` and `until_hour` (not included) count from 1970, UTC; None = from the first, to the last."""

    group_by: GroupBy
    since_hour: int | None
    until_hour: int | None
    lines: Sequence[UsageLine]
    total: UsageSums


class UsageReports:
    """The sums that are kept; deleting a history leaves them as they are."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store

    def report(
        self,
        owner: str | None,
        group_by: GroupBy = GroupBy.DAY,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> UsageReport:
        """Sums are kept by the hour: `since_ms` goes back to the full hour, and `until_ms` forward to the next. `owner`
        None = all owners.

        Raises `InvalidInput`.
        """
        if since_ms is not None and until_ms is not None and until_ms <= since_ms:
            raise InvalidInput.of([FieldError("until", "must be later than since")])
        since_hour = None if since_ms is None else since_ms // HOUR_MS
        until_hour = None if until_ms is None else min(-(-until_ms // HOUR_MS), LAST_HOUR)
        return self.between(owner, group_by, since_hour, until_hour)

    def between(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> UsageReport:
        """As `report`, between hours since 1970."""
        lines = self._store.lines(owner, group_by, since_hour, until_hour)
        return UsageReport(
            group_by, since_hour, until_hour, _ordered(group_by, lines), total_of(line.sums for line in lines)
        )


def _ordered(group_by: GroupBy, lines: Iterable[UsageLine]) -> list[UsageLine]:
    """Time runs forward; of others the most used comes first."""
    if group_by in (GroupBy.HOUR, GroupBy.DAY):
        return sorted(lines, key=lambda line: line.key)
    return sorted(lines, key=lambda line: (-line.sums.requests, line.key))
