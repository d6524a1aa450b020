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
MAX_X_LABELS = 7
# Longer labels, such as `Nov 3, 14:00`, would touch each other.
MAX_CHARS_OF_MANY = 9
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
class Shape:
    """All bars of a series, or its line. `path` is the `d` attribute of an SVG path."""

    tone: str
    path: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One time step with data; `title` lists its numbers."""

    x: int
    title: str


@dataclass(frozen=True, slots=True)
class Label:
    """`x` is the middle of its time step, in percent of the width."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`y_labels` run from the top down and are empty if there is nothing to draw.

    `rows` are the numbers as a table; steps without data have neither a slot nor a row. `summary` describes the chart for
    screen readers.
    """

    title: str
    summary: str
    width: int
    series: Sequence[Series]
    slots: Sequence[Slot]
    bars: Sequence[Shape]
    lines: Sequence[Shape]
    y_labels: Sequence[str]
    x_labels: Sequence[Label]
    rows: Sequence[tuple[str, Sequence[str]]]


def stacked_bars(
    title: str, times: Sequence[str], series: Sequence[Series], show: Show, *, whole: bool = False
) -> Chart:
    """Bars whose parts add up. `whole`: the axis shows whole numbers only."""
    sums = [sum(part.values[place] or 0 for part in series) for place in range(len(times))]
    top = full_axis(max(sums, default=0), whole=whole)
    shapes = _stacks(series, len(times), top) if top else []
    # A step in which nothing happened is not worth a row of zeros.
    return _chart(title, times, series, show, top, bool, bars=shapes)


def line_chart(
    title: str, times: Sequence[str], series: Sequence[Series], show: Show, *, top: float | None = None
) -> Chart:
    """Lines with gaps where there is no number. `top` fixes the end of the axis."""
    values = [value for part in series for value in part.values if value is not None]
    end = (top or full_axis(max(values))) if values else 0.0
    drawn = [Shape(part.tone, _path(part.values, end)) for part in series] if end else []
    return _chart(title, times, series, show, end, lambda value: value is not None, lines=drawn)


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
    is_data: Callable[[float | None], bool],
    *,
    bars: Sequence[Shape] = (),
    lines: Sequence[Shape] = (),
) -> Chart:
    with_data = [place for place in range(len(times)) if any(is_data(part.values[place]) for part in series)]
    rows = [(times[place], [_shown(part.values[place], show) for part in series]) for place in with_data]
    titles = [
        f"{time}: " + ", ".join(f"{part.label} {text}" for part, text in zip(series, texts, strict=True))
        for time, texts in rows
    ]
    return Chart(
        title=title,
        summary=_summary(title, times, series, show),
        width=SLOT * len(times),
        series=series,
        slots=[Slot(SLOT * place, text) for place, text in zip(with_data, titles, strict=True)],
        bars=bars,
        lines=lines,
        y_labels=[show(top), show(top / 2), show(0)] if top else [],
        x_labels=_x_labels(times),
        rows=rows,
    )


def _x_labels(times: Sequence[str]) -> list[Label]:
    """The last step and others at equal distances before it."""
    most = MAX_X_LABELS // 2 if max(map(len, times), default=0) > MAX_CHARS_OF_MANY else MAX_X_LABELS
    every = -(-len(times) // most)
    places = range(len(times) - 1, -1, -every)
    return [Label(round(100 * (place + 0.5) / len(times), 2), times[place]) for place in reversed(places)]


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


def _stacks(series: Sequence[Series], steps: int, top: float) -> list[Shape]:
    """One path for all bars of a series: a tenth of the bytes of as many elements."""
    ends, shapes = [float(HEIGHT)] * steps, []
    for part in series:
        path = ""
        for place, value in enumerate(part.values):
            if value:
                start, ends[place] = ends[place], ends[place] - HEIGHT * value / top
                path += f"M{SLOT * place + GAP // 2} {start:.4g}V{ends[place]:.4g}h{SLOT - GAP}V{start:.4g}z"
        shapes.append(Shape(part.tone, path))
    return shapes


def _path(values: Sequence[float | None], top: float) -> str:
    """A path through the middle of the slots. A lone number is a line of length 0, which round line ends draw as a dot."""
    steps, apart = [], True
    for place, value in enumerate(values):
        if value is not None:
            point = f"{SLOT * place + SLOT // 2} {round(HEIGHT - HEIGHT * value / top, 2)}"
            steps.append(f"M{point}h0" if apart else f"L{point}")
        apart = value is None
    return "".join(steps)
