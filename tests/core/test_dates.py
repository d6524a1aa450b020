from datetime import UTC, datetime

import pytest

from llm_service.core.dates import FIRST_MS, LAST_MS, optional_moment, parse_moment
from llm_service.core.errors import InvalidInput

NOON_MS = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2026-11-23", NOON_MS - 12 * 3_600_000),
        ("2026-11-23T12:00", NOON_MS),
        ("2026-11-23 12:00", NOON_MS),
        ("2026-11-23T12:00:00", NOON_MS),
        ("2026-11-23T12:00:00Z", NOON_MS),
        ("2026-11-23t12:00:00z", NOON_MS),
        ("2026-11-23T13:00+01:00", NOON_MS),
        ("2026-11-23T12:00:00.001Z", NOON_MS + 1),
        ("2026-11-23T12:00:00.001000000Z", NOON_MS + 1),
        (" 2026-11-23T12:00Z ", NOON_MS),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59Z", -1000),
        ("0001-01-01", FIRST_MS),
        ("0001-01-01T00:00:00+23:00", FIRST_MS),
        ("9999-12-31T23:59:59.999Z", LAST_MS),
        ("9999-12-31T23:59:59-23:59", LAST_MS),
    ],
)
def test_dates_and_times(text: str, expected_ms: int) -> None:
    assert parse_moment("since", text) == expected_ms


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-11", "2026-13-01", "2026-02-30", "20261124", "2026-11-24T08", "2026-11-24T25:00:00Z",
     "2026-11-24T08:00:60Z", "2026-11-24T08:00+24:00", "2026-11-24T08:00:00 01:00", "٢٠٢٦-11-24", "2026-W48-2",
     "0000-01-01", "10000-01-01", "-0001-01-01", "2026-11-24\x00", "1795392000"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_moment("since", text)
    assert [error.field for error in raised.value.fields] == ["since"]


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_text_is_no_bound(text: str | None) -> None:
    assert optional_moment("since", text) is None
