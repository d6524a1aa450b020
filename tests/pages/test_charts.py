import pytest

from llm_service.web.pages.charts import Bar, Series, full_axis, line_chart, stacked_bars
from llm_service.web.pages.numbers import compact, exact_usd, milliseconds, percent, usd

TIMES = ["Mon", "Tue", "Wed"]


@pytest.mark.parametrize(
    ("most", "end"),
    [(0, 0), (0.107, 0.12), (1, 1), (1.01, 1.2), (2.5, 3), (9, 10), (10, 10), (101, 120), (0.3, 0.3), (7000, 8000)],
)
def test_an_axis_ends_at_a_round_number(most: float, end: float) -> None:
    assert full_axis(most) == pytest.approx(end)


@pytest.mark.parametrize(("most", "end"), [(0, 0), (1, 2), (2, 2), (3, 4), (9, 10), (11, 12), (130, 160)])
def test_an_axis_of_counts_has_whole_numbers(most: float, end: float) -> None:
    assert full_axis(most, whole=True) == end


def test_bars_are_stacked_and_fill_the_axis() -> None:
    chart = stacked_bars("Things", TIMES, [Series("a", "main", [1, 0, 4]), Series("b", "saved", [1, 0, 6])], compact)
    assert [slot.bars for slot in chart.slots] == [
        [Bar("main", 1, 90, 8, 10), Bar("saved", 1, 80, 8, 10)],
        [],
        [Bar("main", 21, 60, 8, 40), Bar("saved", 21, 0, 8, 60)],
    ]
    assert (chart.width, chart.y_labels, chart.x_labels) == (30, ["10", "5", "0"], TIMES)
    assert [slot.title for slot in chart.slots] == ["Mon: a 1, b 1", "Tue: a 0, b 0", "Wed: a 4, b 6"]
    assert chart.rows[2] == ("Wed", ["4", "6"])
    assert chart.summary == (
        "Things, Mon to Wed: a peaks at 4 (Wed), b peaks at 6 (Wed). The table below lists all values."
    )


def test_a_line_has_a_gap_for_unknown_values() -> None:
    chart = line_chart("Rate", [*TIMES, "Thu"], [Series("x", "main", [0.5, 1.0, None, 0.0])], percent, top=1.0)
    assert [line.path for line in chart.lines] == ["M5 50.0h0L15 0.0M35 100.0h0"]
    assert chart.rows[2] == ("Wed", ["–"])
    assert chart.y_labels == ["100%", "50%", "0%"]


def test_no_values_draw_nothing() -> None:
    nothing = [Series("x", "main", [0, 0, 0])]
    assert stacked_bars("Things", TIMES, nothing, compact).y_labels == []
    unknown = [Series("x", "main", [None, None, None])]
    chart = line_chart("Rate", TIMES, unknown, percent, top=1.0)
    assert (chart.y_labels, chart.lines) == ([], [])
    assert "no data" in chart.summary


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "$0"), (0.12, "$0.12"), (0.1, "$0.10"), (0.012, "$0.012"), (0.00042, "$0.00042"), (0.0000004217, "$0.00000042"),
     (1, "$1.00"), (1234.5, "$1,234.50"), (0.999, "$1.00")],
)  # fmt: skip
def test_money_at_a_glance(amount: float, shown: str) -> None:
    assert usd(amount) == shown


def test_other_numbers() -> None:
    assert [compact(number) for number in (0, 7, 980, 1_234, 45_600, 123_456, 3_400_000, 2e9)] == [
        "0", "7", "980", "1.2k", "45.6k", "123k", "3.4M", "2B",
    ]  # fmt: skip
    assert [milliseconds(duration) for duration in (None, 0, 84, 999, 1_000, 1_240)] == [
        "–", "0 ms", "84 ms", "999 ms", "1 s", "1.2 s",
    ]  # fmt: skip
    assert exact_usd(None) == "–"
