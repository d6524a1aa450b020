"""Rows as aligned text."""

from collections.abc import Callable, Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], pad: Callable[[str, int], str] = str.ljust) -> Iterator[str]:
    """A line for each row. The first column is aligned left, the others by `pad`."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        padded = [pad(cell, width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *padded]).rstrip()
