"""Windows of positions, in which searches look for their rows, and the order of rows."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from .tables import generations

GROWTH = 4


def windows(
    connection: Connection,
    size: int,
    before: int | None,
    after: int | None,
    stop: int | None,
    max_size: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Ranges of positions (ends excluded), each larger than the one before, until `max_size`.

    A page fills after a small part of the history, even if another condition excludes most matches.
    """
    end = connection.execute(select(func.max(generations.c.position))).scalar_one() or 0
    if after is not None:
        low, end = after, end if stop is None else min(end, stop)
        while low < end:
            yield low, low + size + 1
            low, size = low + size, _grown(size, max_size)
    else:
        high = end + 1 if before is None else min(before, end + 1)
        while high > max(1, stop or 1):
            yield high - size - 1, high
            high, size = high - size, _grown(size, max_size)


def _grown(size: int, max_size: int | None) -> int:
    return size * GROWTH if max_size is None else min(size * GROWTH, max_size)


def in_order(query: Select[Any], place: ColumnElement[int], before: int | None, after: int | None) -> Select[Any]:
    """Oldest first after a position, else newest first, before one if it is given."""
    if after is not None:
        return query.where(place > after).order_by(place)
    return (query if before is None else query.where(place < before)).order_by(place.desc())
