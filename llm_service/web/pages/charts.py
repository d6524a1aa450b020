"""The geometry of charts: shapes in a box `SLOT` units wide per time step and 100 units high.

The page stretches the box to its own width. Labels are text beside it, to stay readable on a phone. Colours are CSS
classes (`Series.tone`), because the CSP forbids style attributes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SLOT = 10
HEIGHT = 100
GAP = 2
# An axis ends at one of these times a power of ten, so its half is a round number too.
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)

Show = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """`values` has one number per time step; None means no data, which is not 0. `tone` names a colour."""

    label: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    tone: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """`path` is the `d` attribute of an SVG path."""

    tone: str
    path: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One time step; `title` lists its numbers."""

    x: int
    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Chart:
    """`y_labels` run from the top down and are empty if there is nothing to draw; `rows` are the numbers as a table.

    `summary` describes the chart for screen readers.
    """

    title: str
    summary: str
    width: int
    series: Sequence[Series]
    slots: Sequence[Slot]
    lines: Sequence[Line]
    y_labels: Sequence[str]
    x_labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def stacked_bars(
    title: str, times: Sequence[str], series: Sequence[Series], show: Show, *, whole: bool = False
) -> Chart:
    """Bars whose parts add up. `whole`: the axis shows whole numbers only."""
    sums = [sum(part.values[place] or 0 for part in series) for place in range(len(times))]
    top = full_axis(max(sums, default=0), whole=whole)
    bars = [_stack(place, series, top) for place in range(len(times))]
    return _chart(title, times, series, show, top, bars=bars)


def line_chart(
    title: str, times: Sequence[str], series: Sequence[Series], show: Show, *, top: float | None = None
) -> Chart:
    """Lines with gaps where there is no number. `top` fixes the end of the axis."""
    values = [value for part in series for value in part.values if value is not None]
    end = (top or full_axis(max(values))) if values else 0.0
    drawn = [Line(part.tone, _path(part.values, end)) for part in series] if end else []
    return _chart(title, times, series, show, end, lines=drawn)


def full_axis(most: float, *, whole: bool = False) -> float:
    """The round number at the end of an axis; 0 if there is nothing to show."""
    if most <= 0:
        return 0.0
    if whole and most < 10:
        return 2.0 * math.ceil(most / 2)
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in _ROUND if step * power >= most * (1 - 1e-9))


def _chart(
    title: str,
    times: Sequence[str],
    series: Sequence[Series],
    show: Show,
    top: float,
    *,
    bars: Sequence[Sequence[Bar]] = (),
    lines: Sequence[Line] = (),
) -> Chart:
    rows = [(time, [_shown(part.values[place], show) for part in series]) for place, time in enumerate(times)]
    titles = [
        f"{time}: " + ", ".join(f"{part.label} {text}" for part, text in zip(series, texts, strict=True))
        for time, texts in rows
    ]
    return Chart(
        title=title,
        summary=_summary(title, times, series, show),
        width=SLOT * len(times),
        series=series,
        slots=[Slot(SLOT * place, text, bars[place] if bars else ()) for place, text in enumerate(titles)],
        lines=lines,
        y_labels=[show(top), show(top / 2), show(0)] if top else [],
        x_labels=[times[0], times[len(times) // 2], times[-1]],
        rows=rows,
    )


def _shown(value: float | None, show: Show) -> str:
    return "–" if value is None else show(value)


def _summary(title: str, times: Sequence[str], series: Sequence[Series], show: Show) -> str:
    parts = []
    for part in series:
        known = [(value, time) for value, time in zip(part.values, times, strict=True) if value is not None]
        if known:
            most, time = max(known, key=lambda pair: pair[0])
            parts.append(f"{part.label} peaks at {show(most)} ({time})")
    return f"{title}, {times[0]} to {times[-1]}: {', '.join(parts) or 'no data'}. The table below lists all values."


def _stack(place: int, series: Sequence[Series], top: float) -> list[Bar]:
    bars, y = [], float(HEIGHT)
    for part in series:
        value = part.values[place]
        if value:
            height = HEIGHT * value / top
            y -= height
            bars.append(Bar(part.tone, SLOT * place + GAP / 2, round(y, 2), SLOT - GAP, round(height, 2)))
    return bars


def _path(values: Sequence[float | None], top: float) -> str:
    """A path through the middle of the slots. A lone number is a line of length 0, which round line ends draw as a dot."""
    steps, apart = [], True
    for place, value in enumerate(values):
        if value is not None:
            point = f"{SLOT * place + SLOT // 2} {round(HEIGHT - HEIGHT * value / top, 2)}"
            steps.append(f"M{point}h0" if apart else f"L{point}")
        apart = value is None
    return "".join(steps)
