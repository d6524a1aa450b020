import pytest

from llm_service.web.pages.charts import Label, Series, Shape, Slot, full_axis, line_chart, stacked_bars
from llm_service.web.pages.numbers import change, compact, exact_usd, milliseconds, percent, usd

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
    assert chart.bars == [
        Shape("main", "M1 100V90h8V100zM21 100V60h8V100z"),
        Shape("saved", "M1 90V80h8V90zM21 60V0h8V60z"),
    ]
    assert (chart.width, chart.y_labels) == (30, ["10", "5", "0"])
    assert chart.slots == [Slot(0, "Mon: a 1, b 1"), Slot(20, "Wed: a 4, b 6")], "nothing happened on Tuesday"
    assert chart.rows == [("Mon", ["1", "1"]), ("Wed", ["4", "6"])]
    assert chart.summary == (
        "Things, Mon to Wed: a peaks at 4 (Wed), b peaks at 6 (Wed). The table below lists all values."
    )


def test_a_line_has_a_gap_for_unknown_values() -> None:
    chart = line_chart("Rate", [*TIMES, "Thu"], [Series("x", "main", [0.5, 1.0, None, 0.0])], percent, top=1.0)
    assert [line.path for line in chart.lines] == ["M5 50.0h0L15 0.0M35 100.0h0"]
    assert chart.rows == [("Mon", ["50%"]), ("Tue", ["100%"]), ("Thu", ["0%"])], "0 is a value, too"
    assert chart.y_labels == ["100%", "50%", "0%"]


@pytest.mark.parametrize(
    ("steps", "labelled"),
    [(1, [0]), (7, [0, 1, 2, 3, 4, 5, 6]), (24, [3, 7, 11, 15, 19, 23]), (30, [4, 9, 14, 19, 24, 29])],
)
def test_few_steps_have_a_label_and_the_last_one_has(steps: int, labelled: list[int]) -> None:
    chart = line_chart("Rate", [str(step) for step in range(steps)], [Series("x", "main", [1] * steps)], percent)
    assert [label.text for label in chart.x_labels] == [str(step) for step in labelled]
    assert chart.x_labels[-1] == Label(round(100 * (steps - 0.5) / steps, 2), str(steps - 1))


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


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [(None, 1, ""), (1, None, ""), (1, 0, ""), (0, 4, "−100%"), (4, 4, "±0%"), (1003, 1000, "±0%"), (997, 1000, "±0%"),
     (112, 100, "+12%"), (92, 100, "−8%"), (110, 100, "+10%"), (99, 10, "+890%"), (140, 10, "×14"), (12_345, 1, "×12.3k")],
)  # fmt: skip
def test_a_change_since_the_period_before(now: float | None, before: float | None, shown: str) -> None:
    assert change(now, before) == shown


@pytest.mark.parametrize(("share", "shown"), [(None, "–"), (0, "0%"), (0.004, "0.4%"), (0.05, "5%"), (0.256, "26%")])
def test_shares(share: float | None, shown: str) -> None:
    assert percent(share) == shown


def test_long_labels_are_fewer() -> None:
    times = [f"Nov 28, {hour:02}:00" for hour in range(24)]
    chart = line_chart("Rate", times, [Series("x", "main", [1] * 24)], percent)
    assert [label.text for label in chart.x_labels] == ["Nov 28, 07:00", "Nov 28, 15:00", "Nov 28, 23:00"]
