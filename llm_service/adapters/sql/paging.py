"""Pages of the history: the rows, their order, and the texts for search excerpts."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from llm_service.core.history.model import Filters
from llm_service.core.history.search import EXCERPTED_CHARS

from . import search_index
from .tables import answers, generations
from .windows import in_order


def rows(
    connection: Connection,
    query: Select[Any],
    owner: str,
    filters: Filters,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    stop: int | None = None,
    *,
    few_documents: int | None,
    first_window: int | None,
) -> Sequence[Row[Any]]:
    """Newest first; with `after`, the rows next to it. `stop`: the last position that is looked at."""
    query = query.where(*_conditions(filters))
    if stop is not None:
        query = query.where(generations.c.position >= stop if after is None else generations.c.position <= stop)
    if filters.search is not None:
        rows = search_index.of(connection).matching_rows(
            connection,
            query,
            owner,
            filters.search,
            limit,
            few_documents=few_documents,
            first_window=first_window,
            before=before,
            after=after,
            stop=stop,
        )
    else:
        mine = query.where(generations.c.owner == owner)
        ordered = in_order(mine, generations.c.position, before, after)
        rows = connection.execute(ordered.limit(limit)).all()
    return rows[::-1] if after is not None else rows


def position_of(
    connection: Connection, owner: str, nth: int, before: int | None = None, after: int | None = None
) -> int | None:
    """The position of the owner's `nth` row, counted from the newest, or from a position. Reads an index only."""
    mine = select(generations.c.position).where(generations.c.owner == owner)
    ordered = in_order(mine, generations.c.position, before, after)
    return connection.execute(ordered.limit(1).offset(nth - 1)).scalar_one_or_none()


def _conditions(filters: Filters) -> Iterator[ColumnElement[bool]]:
    for name in ("template_id", "model", "status", "cached"):
        if (value := getattr(filters, name)) is not None:
            yield generations.c[name] == value
    if filters.since_ms is not None:
        yield generations.c.created_ms >= filters.since_ms
    if filters.until_ms is not None:
        yield generations.c.created_ms < filters.until_ms


def beginnings(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, list[str]]:
    """The texts of a page's rows by answer, cut to `EXCERPTED_CHARS`."""
    query = select(
        answers.c.answer_id,
        func.substr(answers.c.input, 1, EXCERPTED_CHARS),
        func.substr(answers.c.output, 1, EXCERPTED_CHARS),
    ).where(answers.c.answer_id.in_({row.answer_id for row in rows}))
    return {row.answer_id: [text for text in row[1:] if text] for row in connection.execute(query)}
