"""Lists, searches and exports of the history in SQL."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from llm_service.core.generation.model import Generation, GenerationSummary
from llm_service.core.history.model import EVERYTHING, Filters

from . import paging
from .rows import SUMMARIES, WHOLE, generation_of, summary_of
from .sqlite.database import Database
from .sqlite.full_text import FEW_DOCUMENTS, FIRST_WINDOW

EXPORT_BATCH = 200


class SqlHistoryQueries:
    """Satisfies `HistoryQueries`."""

    def __init__(
        self, database: Database, *, few_documents: int = FEW_DOCUMENTS, first_window: int = FIRST_WINDOW
    ) -> None:
        """`few_documents`: up to this many matches are looked up individually. More are scanned in order, in windows of
        positions; the first window is `first_window` wide.
        """
        self._database = database
        self._rows = partial(paging.rows, few_documents=few_documents, first_window=first_window)

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        stop: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        def work(connection: Connection) -> tuple[Sequence[Row[Any]], dict[str, list[str]]]:
            rows = self._rows(connection, SUMMARIES, owner, filters, limit, before, after, stop)
            return rows, paging.beginnings(connection, rows) if filters.search else {}

        rows, beginnings = self._database.read(work)
        return [(row.position, summary_of(row, filters.search, beginnings.get(row.answer_id, ()))) for row in rows]

    def position_of(self, owner: str, nth: int, *, before: int | None = None, after: int | None = None) -> int | None:
        query = partial(paging.position_of, owner=owner, nth=nth, before=before, after=after)
        return self._database.read(query)

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        # Page by page: no transaction stays open for a slow reader.
        before: int | None = None
        while True:
            batch = partial(self._rows, query=WHOLE, owner=owner, filters=filters, limit=EXPORT_BATCH, before=before)
            rows = self._database.read(batch)
            yield from map(generation_of, rows)
            if len(rows) < EXPORT_BATCH:
                return
            before = rows[-1].position
