"""Reads and deletes an owner's history."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from ..errors import FieldError, InvalidInput, NotFound
from ..generation.model import Generation, GenerationSummary
from ..generation.ports import Cache, GenerationStore
from ..generation.running import RunningGenerations
from .model import EVERYTHING, Count, Filters, MarkChanges, Page
from .ports import HistoryQueries, MarkStore, Retention
from .search import Search, parse_search

MAX_PAGE = 200
DEFAULT_PAGE = 50
# Filters that match nothing would read the whole history: 0.2 s for each million rows.
MAX_SCANNED = 100_000
MAX_SEARCH_CHARS = 500
# A page says how many results there are, up to here. To count those of a search costs more.
MAX_COUNTED = 10_000
MAX_SEARCH_COUNTED = 1000
MAX_TAGS_SHOWN = 100
_CURSOR = re.compile(r"([bn])([0-9]{1,18})", re.ASCII)


class HistoryService:
    """The history of generations. Deletion also removes from the cache, and cancels a running generation first."""

    def __init__(
        self,
        store: GenerationStore,
        queries: HistoryQueries | None,
        retention: Retention,
        cache: Cache,
        running: RunningGenerations,
        *,
        marks: MarkStore | None = None,
        keeps: str = "full",
        max_scanned: int = MAX_SCANNED,
    ) -> None:
        """`keeps`: `full`, `metadata` (no texts), or `off`: then `queries` and `marks` are None and every list is empty.

        `max_scanned`: how many rows a page with filters looks at.
        """
        self._max_scanned = max_scanned
        self.keeps = keeps
        self._store = store
        self._queries = queries
        self._marks = marks
        self._retention = retention
        self._cache = cache
        self._running = running

    def page(
        self, owner: str, cursor: str | None = None, limit: int = DEFAULT_PAGE, filters: Filters = EVERYTHING
    ) -> Page:
        """One page, newest first. `cursor` is the `next` or `prev` of another page with the same filters.

        With filters, a page looks at `max_scanned` rows at most, so it may have few items, or none, and still a `next`.
        Raises `InvalidInput` for an invalid cursor, or a limit outside 1..200.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput.of([FieldError("limit", f"must be between 1 and {MAX_PAGE}")])
        back, position = _read_cursor(cursor) if cursor is not None else (False, None)
        if self._queries is None or _finds_nothing(filters):
            return Page(items=[], next=None, prev=None)
        if back:
            return self._newer_page(self._queries, owner, position or 0, limit, filters)
        return self._older_page(self._queries, owner, position, limit, filters)

    def _older_page(
        self, queries: HistoryQueries, owner: str, position: int | None, limit: int, filters: Filters
    ) -> Page:
        stop = self._stop(queries, owner, filters, before=position)
        # One extra row tells whether there is another page.
        rows = queries.newest(owner, limit + 1, before=position, stop=stop, filters=filters)
        shown = rows[:limit]
        older = shown[-1][0] if len(rows) > limit else stop
        if not shown and older is None and position is not None:
            return self._way_back(queries, owner, False, position, filters)
        newer = None if position is None else shown[0][0] if shown else max(0, position - 1)
        return _page(shown, older, newer)

    def _newer_page(self, queries: HistoryQueries, owner: str, position: int, limit: int, filters: Filters) -> Page:
        stop = self._stop(queries, owner, filters, after=position)
        rows = queries.newest(owner, limit + 1, after=position, stop=stop, filters=filters)
        shown = rows[-limit:]
        newer = shown[0][0] if len(rows) > limit else stop
        if not shown and newer is None:
            return self._way_back(queries, owner, True, position, filters)
        return _page(shown, shown[-1][0] if shown else position + 1, newer)

    def _way_back(self, queries: HistoryQueries, owner: str, back: bool, position: int, filters: Filters) -> Page:
        """The cursor's rows are gone: an empty page that leads to the remaining ones."""
        if back:
            left = self._has_more(queries, owner, filters, before=position + 1)
            return _page([], position + 1 if left else None, None)
        left = self._has_more(queries, owner, filters, after=position - 1)
        return _page([], None, max(0, position - 1) if left else None)

    def _has_more(self, queries: HistoryQueries, owner: str, filters: Filters, **place: int) -> bool:
        """Whether a page from there has rows, or leads to further ones."""
        stop = self._stop(queries, owner, filters, **place)
        return stop is not None or bool(queries.newest(owner, 1, **place, filters=filters))

    def _stop(self, queries: HistoryQueries, owner: str, filters: Filters, **place: int | None) -> int | None:
        """The last position that a page from there looks at; None = all."""
        if filters == EVERYTHING or _are_indexed(filters):
            return None
        return queries.position_of(owner, self._max_scanned, **place)

    def count(self, owner: str, filters: Filters = EVERYTHING) -> Count:
        """How many generations match: up to `MAX_COUNTED`, and among the newest `max_scanned` rows."""
        if self._queries is None or _finds_nothing(filters):
            return Count(0)
        at_most = MAX_COUNTED if filters.search is None else MAX_SEARCH_COUNTED
        stop = self._stop(self._queries, owner, filters)
        number = self._queries.count(owner, at_most + 1, stop=stop, filters=filters)
        if number > at_most:
            return Count(at_most, is_capped=True)
        return Count(number, scanned=None if stop is None else self._max_scanned)

    def neighbours(
        self, owner: str, request_id: str, filters: Filters = EVERYTHING
    ) -> tuple[GenerationSummary | None, GenerationSummary | None]:
        """The next newer and the next older generation of a list with these filters; None = there is none near."""
        queries = self._queries
        position = None if queries is None else queries.locate(owner, request_id)
        if queries is None or position is None or _finds_nothing(filters):
            return None, None

        def nearest(**place: int) -> GenerationSummary | None:
            stop = self._stop(queries, owner, filters, **place)
            rows = queries.newest(owner, 1, **place, stop=stop, filters=filters)
            return rows[0][1] if rows else None

        return nearest(after=position), nearest(before=position)

    def get(self, owner: str, request_id: str) -> Generation:
        """Raises `NotFound`, also for another owner's generation."""
        generation = self._store.get(owner, request_id)
        if generation is None:
            raise _not_found()
        if self._marks is None:
            return generation
        return replace(generation, tags=self._marks.tags_of(owner, request_id))

    def mark(self, owner: str, request_id: str, changes: MarkChanges, now_ms: int) -> None:
        """Set or remove the star, or replace the tags. Raises `NotFound`."""
        if self._marks is None or not self._marks.change(owner, request_id, changes, now_ms):
            raise _not_found()

    def used_tags(self, owner: str) -> Sequence[tuple[str, int]]:
        """The owner's most used tags, with the number of generations that have them."""
        return () if self._marks is None else self._marks.used_tags(owner, MAX_TAGS_SHOWN)

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        """The owner's generations, newest first."""
        if self._queries is None or _finds_nothing(filters):
            return iter(())
        return self._queries.export(owner, filters)

    def owner_of(self, request_id: str) -> str | None:
        """The generation's owner, for callers who may see all generations; None = no such generation."""
        return self._store.owner_of(request_id)

    def delete(self, owner: str, request_id: str) -> None:
        """Raises `NotFound`."""
        self._running.cancel(owner, request_id)
        key = self._retention.delete(owner, request_id)
        if key is None:
            raise _not_found()
        self._cache.discard(key)

    def delete_selected(self, owner: str, request_ids: Collection[str]) -> int:
        """Returns the number of deleted generations; those that are gone already do not count."""
        deleted = 0
        for request_id in request_ids:
            with suppress(NotFound):
                self.delete(owner, request_id)
                deleted += 1
        return deleted

    def delete_all(self, owner: str) -> int:
        """Returns the number of deleted generations."""
        self._running.cancel_all(owner)
        deleted = self._retention.delete_all(owner)
        self._cache.discard_owner(owner)
        self._running.cancel_deleted()
        return deleted


def read_search(field: str, text: str | None) -> Search | None:
    """The search for a typed text; None if it is blank.

    Raises `InvalidInput`, which names `field`, only if it is too long.
    """
    if text is None or not text.strip():
        return None
    if len(text) > MAX_SEARCH_CHARS:
        raise InvalidInput.of([FieldError(field, f"must be at most {MAX_SEARCH_CHARS} characters")])
    return parse_search(text)


def _finds_nothing(filters: Filters) -> bool:
    return filters.search is not None and not filters.search.has_words


def _are_indexed(filters: Filters) -> bool:
    """Whether an index leads to the few rows that may match, however long the history is."""
    marked = bool(filters.starred) or filters.tag is not None
    return filters.search is None and (marked or filters.request_ids is not None)


def _not_found() -> NotFound:
    return NotFound("There is no generation with this id in your history. It may have been deleted.")


def _page(rows: Sequence[tuple[int, GenerationSummary]], older: int | None, newer: int | None) -> Page:
    """`older` and `newer`: the positions that the pages beside it begin at; None = there are no such pages."""
    return Page(
        items=[summary for _, summary in rows],
        next=None if older is None else _write_cursor("b", older),
        prev=None if newer is None else _write_cursor("n", newer),
    )


def _write_cursor(direction: str, position: int) -> str:
    """Opaque to callers: `b` = before this position, `n` = newer than it."""
    return f"{direction}{position}"


def _read_cursor(cursor: str) -> tuple[bool, int]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput.of([FieldError("cursor", "must be the next or prev of a page")])
    return match[1] == "n", int(match[2])
