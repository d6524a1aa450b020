"""Draws a flame graph of what py-spy recorded: docs/img/flame-*.svg.

    py-spy record -f raw -r 400 -d 20 -p PID_OF_A_WORKER -o hit.raw        while it is under load
    .venv/bin/python -m bench.flame hit.raw docs/img/flame-hit.svg

Ours are orange, the kernel's calls dark, everything else grey. Threads that only wait for work are left out, and so are
frames below half a percent. The width of a frame is its share of the samples.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

WIDTH, ROW, LEAST = 1200, 16, 0.005
IDLE = ("acquire_with_timeout", "_Condition.wait")
# Below these, every stack is the same.
ROOTS = ("AsyncWorker.handle ", "UpstreamCaller.lead.", "_WorkerGreenlet.run ", "Hub.run ", "Ticker.")
KERNEL = ("SocketMixin.send ", "SocketMixin.recv ", "do_commit", "Hub.run ")


@dataclass
class Frame:
    name: str
    samples: int = 0
    under: dict[str, "Frame"] = field(default_factory=dict)


def read(raw: str) -> Frame:
    """All stacks as one tree."""
    everything = Frame("all")
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        names = [_without_line(frame) for frame in stack.split(";")]
        if any(idle in name for name in names[-3:] for idle in IDLE):
            continue
        first = next((place for place, name in enumerate(names) if name.startswith(ROOTS)), 0)
        frame = everything
        frame.samples += int(samples)
        for name in names[first:]:
            frame = frame.under.setdefault(name, Frame(name))
            frame.samples += int(samples)
    return everything


def draw(everything: Frame) -> str:
    """An SVG document."""
    height = _shown_depth(everything, everything.samples) * ROW
    boxes = "\n".join(_boxes(everything, everything.samples, 0.0, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="10">\n'
        f"{boxes}\n</svg>\n"
    )


def _boxes(frame: Frame, total: int, left: float, bottom: float) -> Iterator[str]:
    width = frame.samples / total * WIDTH
    top, text = bottom - ROW, escape(frame.name[: max(0, int(width / 6.1))])
    yield (
        f'<g><title>{escape(frame.name)} {100 * frame.samples / total:.1f} %</title><rect x="{left:.1f}" y="{top}" '
        f'width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{_color(frame.name)}"/>'
        f'<text x="{left + 2:.1f}" y="{top + 11}">{text}</text></g>'
    )
    for under in sorted(frame.under.values(), key=lambda frame: -frame.samples):
        if under.samples >= LEAST * total:
            yield from _boxes(under, total, left, top)
            left += under.samples / total * WIDTH


def _shown_depth(frame: Frame, total: int) -> int:
    shown = [under for under in frame.under.values() if under.samples >= LEAST * total]
    return 1 + max((_shown_depth(under, total) for under in shown), default=0)


def _color(name: str) -> str:
    if name.startswith(KERNEL):
        return "#8899bb"
    return "#f0a860" if "llm_service/" in name else "#d8d8d8"


def _without_line(frame: str) -> str:
    return re.sub(r"\((?:/.*/)?(.*?)(?::\d+)?\)$", r"(\1)", frame)


def main() -> None:
    raw, svg = map(Path, sys.argv[1:])
    svg.write_text(draw(read(raw.read_text())))


if __name__ == "__main__":
    main()
