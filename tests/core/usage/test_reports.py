from collections.abc import Mapping, Sequence

import pytest

from llm_service.core.clock import HOUR_MS
from llm_service.core.dates import FIRST_MS, LAST_MS
from llm_service.core.errors import InvalidInput
from llm_service.core.usage.reports import UsageReports
from llm_service.core.usage.sums import GroupBy, UsageLine, UsageSums

DAY = 20_000


class Lines:
    """A store with the same lines for every question; keeps what it was asked."""

    def __init__(self, *lines: UsageLine) -> None:
        self.found = lines
        self.asked: list[tuple[str | None, GroupBy, int | None, int | None]] = []

    def lines(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> Sequence[UsageLine]:
        self.asked.append((owner, group_by, since_hour, until_hour))
        return self.found

    def last_hours(self, owner: str | None, since_hour: int) -> Mapping[str, int]:
        return {}


@pytest.mark.parametrize(
    ("since", "until", "asked"),
    [
        (None, None, (None, None)),
        (24 * HOUR_MS, None, (24, None)),
        (24 * HOUR_MS, 25 * HOUR_MS, (24, 25)),
        (25 * HOUR_MS - 1, 25 * HOUR_MS + 1, (24, 25)),
        (-1, 1, (-1, 0)),
        (FIRST_MS, LAST_MS, (-17_259_888, 70_389_527)),
    ],
)
def test_times_are_full_hours(since: int | None, until: int | None, asked: tuple[int | None, int | None]) -> None:
    store = Lines()
    report = UsageReports(store).report("alice", GroupBy.DAY, since, until)
    assert store.asked == [("alice", GroupBy.DAY, *asked)]
    assert (report.since_hour, report.until_hour) == asked


@pytest.mark.parametrize("until", [24 * HOUR_MS, 24 * HOUR_MS - 1])
def test_a_time_that_ends_before_it_begins(until: int) -> None:
    with pytest.raises(InvalidInput) as raised:
        UsageReports(Lines()).report("alice", GroupBy.DAY, 24 * HOUR_MS, until)
    assert raised.value.fields[0].field == "until"


def test_lines_are_in_order_and_summed() -> None:
    few, many = UsageLine(("a",), UsageSums(requests=1)), UsageLine(("b",), UsageSums(requests=5))
    report = UsageReports(Lines(few, many)).report("alice", GroupBy.MODEL)
    assert list(report.lines) == [many, few]
    assert report.total.requests == 6
    later, earlier = UsageLine((DAY + 1,), UsageSums(requests=5)), UsageLine((DAY,), UsageSums(requests=1))
    assert list(UsageReports(Lines(later, earlier)).report("alice").lines) == [earlier, later]
