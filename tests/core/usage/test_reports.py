from collections.abc import Sequence

import pytest

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


@pytest.mark.parametrize(
    ("since", "until", "asked"),
    [
        (None, None, (None, None)),
        ("1970-01-02", None, (24, None)),
        ("1970-01-02T00:00:00Z", "1970-01-02T01:00:00Z", (24, 25)),
        ("1970-01-02T00:59:59.999Z", "1970-01-02T01:00:00.001Z", (24, 26)),
        ("1970-01-02T02:00:00+02:00", None, (24, None)),
    ],
)
def test_times_are_full_hours(since: str | None, until: str | None, asked: tuple[int | None, int | None]) -> None:
    store = Lines()
    report = UsageReports(store).report("alice", GroupBy.DAY, since, until)
    assert store.asked == [("alice", GroupBy.DAY, *asked)]
    assert (report.since_hour, report.until_hour) == asked


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-11", "2026-13-01", "20261124", "2026-11-24T08:00:00", "2026-11-24 08:00:00Z", "1969-12-31",
     "2026-11-24T25:00:00Z", "٢٠٢٦-11-24", "2026-W48-2", "0001-01-01T00:00:00+23:00"],
)  # fmt: skip
def test_other_times_are_refused(text: str) -> None:
    for name in ("since", "until"):
        with pytest.raises(InvalidInput) as raised:
            UsageReports(Lines()).report("alice", **{name: text})  # type: ignore[arg-type]
        assert [error.field for error in raised.value.fields] == [name]


@pytest.mark.parametrize("until", ["2026-11-24", "2026-11-23"])
def test_a_time_that_ends_before_it_begins(until: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        UsageReports(Lines()).report("alice", GroupBy.DAY, "2026-11-24", until)
    assert raised.value.fields[0].field == "until"


def test_lines_are_in_order_and_summed() -> None:
    few, many = UsageLine(("a",), UsageSums(requests=1)), UsageLine(("b",), UsageSums(requests=5))
    report = UsageReports(Lines(few, many)).report("alice", GroupBy.MODEL)
    assert list(report.lines) == [many, few]
    assert report.total.requests == 6
    later, earlier = UsageLine((DAY + 1,), UsageSums(requests=5)), UsageLine((DAY,), UsageSums(requests=1))
    assert list(UsageReports(Lines(later, earlier)).report("alice").lines) == [earlier, later]
