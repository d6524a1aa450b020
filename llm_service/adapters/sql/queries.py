"""Lists, searches and exports of the history in SQL."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select

from llm_service.core.generation.model import Generation, GenerationSummary
from llm_service.core.history.model import EVERYTHING, Filters
from llm_service.core.history.search import Excerpts, Search

from . import marks, paging
from .database import Database
from .rows import SUMMARIES, WHOLE, generation_of, summary_of
from .tables import generations

# An export looks up the positions of this many rows together, and reads the rows until their texts have this size.
EXPORT_BATCH = 200
EXPORT_CHARS = 1024 * 1024
# So many rows at a time leave the server. Without this, PostgreSQL's driver would fetch the texts of all.
EXPORT_FETCHED = 8
_POSITIONS = select(generations.c.position)
_TEXTS = ("input", "parameters", "messages", "output")


class SqlHistoryQueries:
    """Satisfies `HistoryQueries`."""

    def __init__(
        self, database: Database, *, few_documents: int | None = None, first_window: int | None = None
    ) -> None:
        """`few_documents`: up to this many matches are looked up individually. More are scanned in order, in windows of
        positions; the first window is `first_window` wide. None: what suits the database.
        """
        self._database = database
        self._rows = partial(paging.rows, few_documents=few_documents, first_window=first_window)
        self._count = partial(paging.count, few_documents=few_documents, first_window=first_window)

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
        def work(connection: Connection) -> tuple[Sequence[Row[Any]], marks.Tags, dict[str, list[str]]]:
            rows = self._rows(connection, SUMMARIES, owner, filters, limit, before, after, stop)
            tags = marks.tags_at(connection, [row.position for row in rows])
            return rows, tags, paging.beginnings(connection, rows) if filters.search else {}

        rows, tags, beginnings = self._database.read(work)
        matches = _excerpts(filters.search, rows, beginnings) if filters.search else {}
        return [(row.position, summary_of(row, matches.get(row.answer_id), tags.get(row.position, ()))) for row in rows]

    def count(self, owner: str, at_most: int, *, stop: int | None = None, filters: Filters = EVERYTHING) -> int:
        query = partial(self._count, owner=owner, filters=filters, at_most=at_most, stop=stop)
        return self._database.read(query)

    def locate(self, owner: str, request_id: str) -> int | None:
        query = _POSITIONS.where(generations.c.owner == owner, generations.c.request_id == request_id)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    def position_of(self, owner: str, nth: int, *, before: int | None = None, after: int | None = None) -> int | None:
        query = partial(paging.position_of, owner=owner, nth=nth, before=before, after=after)
        return self._database.read(query)

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        # Batch by batch: for a slow reader no transaction stays open, and few texts are held.
        before: int | None = None
        while True:
            find = partial(
                self._rows, query=_POSITIONS, owner=owner, filters=filters, limit=EXPORT_BATCH, before=before
            )
            positions = [row.position for row in self._database.read(find)]
            left = deque(positions)
            while left:
                rows, tags = self._database.read(partial(_read_some, owner=owner, positions=tuple(left)))
                while left and (not rows or left[0] >= rows[-1].position):
                    left.popleft()
                while rows:
                    row = rows.popleft()
                    yield generation_of(row, tags.get(row.position, ()))
            if len(positions) < EXPORT_BATCH:
                return
            before = positions[-1]


def _excerpts(
    search: Search, rows: Sequence[Row[Any]], beginnings: Mapping[str, Sequence[str]]
) -> Mapping[str, str | None]:
    """The excerpt of each answer: rows that share one share it.

    On the event loop, because threads that compute delay it more: it waits for each of them at every system call.
    """
    page, found = Excerpts(search), dict[str, str | None]()
    for row in rows:
        if row.answer_id not in found:
            found[row.answer_id] = page.of(beginnings.get(row.answer_id, ()))
            time.sleep(0)  # lets other requests run
    return found


def _read_some(connection: Connection, *, owner: str, positions: Sequence[int]) -> tuple[deque[Row[Any]], marks.Tags]:
    """The rows at these positions, newest first: at least one that is still there, and as many as fit `EXPORT_CHARS`."""
    # The owner again: what is at a position now need not be what was found there.
    query = WHOLE.where(generations.c.owner == owner, generations.c.position.in_(positions))
    rows: deque[Row[Any]] = deque()
    chars = 0
    query = query.order_by(generations.c.position.desc()).execution_options(yield_per=EXPORT_FETCHED)
    with connection.execute(query) as found:
        for row in found:
            rows.append(row)
            chars += sum(len(row._mapping[name] or "") for name in _TEXTS)
            if chars >= EXPORT_CHARS:
                break
    return rows, marks.tags_at(connection, [row.position for row in rows])
