"""Usage reports: sums by hour, day, template, revision, model, provider or owner, within a period."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..clock import HOUR_MS
from ..errors import FieldError, InvalidInput
from .ports import UsageStore
from .sums import GroupBy, UsageLine, UsageSums, total_of


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
        self,
        owner: str | None,
        group_by: GroupBy = GroupBy.DAY,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> UsageReport:
        """Sums are stored by hour. `owner` None = all owners.

        Both ends are rounded down to a full hour: so two periods, of which one begins where the other ends, count nothing
        twice and miss nothing. Raises `InvalidInput`.
        """
        if since_ms is not None and until_ms is not None and until_ms <= since_ms:
            raise InvalidInput.of([FieldError("until", "must be later than since")])
        since_hour = None if since_ms is None else since_ms // HOUR_MS
        until_hour = None if until_ms is None else until_ms // HOUR_MS
        return self.between(owner, group_by, since_hour, until_hour)

    def between(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> UsageReport:
        """As `report`, with hours since 1970."""
        lines = self._store.lines(owner, group_by, since_hour, until_hour)
        return UsageReport(
            group_by, since_hour, until_hour, _ordered(group_by, lines), total_of(line.sums for line in lines)
        )

    def last_hours(self, owner: str | None, since_hour: int) -> Mapping[str, int]:
        """As `UsageStore.last_hours`."""
        return self._store.last_hours(owner, since_hour)


def _ordered(group_by: GroupBy, lines: Iterable[UsageLine]) -> list[UsageLine]:
    """By time, or with the most requests first."""
    if group_by in (GroupBy.HOUR, GroupBy.DAY):
        return sorted(lines, key=lambda line: line.key)
    return sorted(lines, key=lambda line: (-line.sums.requests, line.key))
