"""Pages of the history: the rows, their order, and the texts for search excerpts."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from llm_service.core.history.model import Filters
from llm_service.core.history.search import EXCERPTED_CHARS

from . import search_index
from .tables import answers, generation_tags, generations
from .windows import in_order

_POSITION = select(generations.c.position)
_named = generations.alias()


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
    query = query.where(*_conditions(owner, filters))
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
        ordered = in_order(mine, _place(filters), before, after)
        rows = connection.execute(ordered.limit(limit)).all()
    return rows[::-1] if after is not None else rows


def _place(filters: Filters) -> ColumnElement[int]:
    """Where few positions are known, an expression: SQLite would else walk through all rows before or after one."""
    few = filters.tag is not None or filters.request_ids is not None
    return generations.c.position + 0 if few else generations.c.position


def position_of(
    connection: Connection, owner: str, nth: int, before: int | None = None, after: int | None = None
) -> int | None:
    """The position of the owner's `nth` row, counted from the newest, or from a position. Reads an index only."""
    mine = select(generations.c.position).where(generations.c.owner == owner)
    ordered = in_order(mine, generations.c.position, before, after)
    return connection.execute(ordered.limit(1).offset(nth - 1)).scalar_one_or_none()


def count(
    connection: Connection,
    owner: str,
    filters: Filters,
    at_most: int,
    stop: int | None,
    *,
    few_documents: int | None,
    first_window: int | None,
) -> int:
    """How many rows match, counted up to `at_most` and to `stop`."""
    if filters.search is not None:
        search = {"few_documents": few_documents, "first_window": first_window}
        return len(rows(connection, _POSITION, owner, filters, at_most, stop=stop, **search))
    found = _POSITION.where(generations.c.owner == owner, *_conditions(owner, filters))
    if stop is not None:
        found = found.where(generations.c.position >= stop)
    counted = found.order_by(generations.c.position.desc()).limit(at_most).subquery()
    return connection.execute(select(func.count()).select_from(counted)).scalar_one()


def _conditions(owner: str, filters: Filters) -> Iterator[ColumnElement[bool]]:
    for name in ("template_id", "model", "status", "cached"):
        if (value := getattr(filters, name)) is not None:
            yield generations.c[name] == value
    if filters.since_ms is not None:
        yield generations.c.created_ms >= filters.since_ms
    if filters.until_ms is not None:
        yield generations.c.created_ms < filters.until_ms
    if filters.starred is not None:
        is_starred = generations.c.starred_ms.is_not(None)
        yield is_starred if filters.starred else ~is_starred
    if filters.tag is not None:
        tagged = select(generation_tags.c.position)
        yield generations.c.position.in_(
            tagged.where(generation_tags.c.owner == owner, generation_tags.c.tag == filters.tag)
        )
    if filters.request_ids is not None:
        # By position: SQLite might else walk through all rows of the owner, in their order.
        named = select(_named.c.position).where(_named.c.request_id.in_(filters.request_ids))
        yield generations.c.position.in_(named)


def beginnings(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, list[str]]:
    """The texts of a page's rows by answer, cut to `EXCERPTED_CHARS`."""
    query = select(
        answers.c.answer_id,
        func.substr(answers.c.input, 1, EXCERPTED_CHARS),
        func.substr(answers.c.output, 1, EXCERPTED_CHARS),
    ).where(answers.c.answer_id.in_({row.answer_id for row in rows}))
    return {row.answer_id: [text for text in row[1:] if text] for row in connection.execute(query)}
