"""Reads and deletes an owner's history."""

import re
from collections.abc import Iterator

from ..errors import FieldError, InvalidInput, NotFound
from ..generation.model import Generation
from ..generation.ports import Cache, GenerationStore
from ..generation.running import RunningGenerations
from .model import EVERYTHING, Filters, Page
from .ports import HistoryQueries, Retention
from .search import Search, parse_search

MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_SEARCH_CHARS = 500
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
        keeps: str = "full",
    ) -> None:
        """`keeps`: `full`, `metadata` (no texts), or `off`: then `queries` is None and every list is empty."""
        self.keeps = keeps
        self._store = store
        self._queries = queries
        self._retention = retention
        self._cache = cache
        self._running = running

    def page(
        self, owner: str, cursor: str | None = None, limit: int = DEFAULT_PAGE, filters: Filters = EVERYTHING
    ) -> Page:
        """One page, newest first. `cursor` is the `next` or `prev` of another page with the same filters.

        Raises `InvalidInput` for an invalid cursor, or a limit outside 1..200.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput.of([FieldError("limit", f"must be between 1 and {MAX_PAGE}")])
        back, position = _read_cursor(cursor) if cursor is not None else (False, None)
        if self._queries is None or _finds_nothing(filters):
            return Page(items=[], next=None, prev=None)
        # One extra row tells whether there is another page.
        if back:
            rows = list(self._queries.newest(owner, limit + 1, after=position, filters=filters))
            more_newer, more_older = len(rows) > limit, True
            rows = rows[-limit:]
        else:
            rows = list(self._queries.newest(owner, limit + 1, before=position, filters=filters))
            more_newer, more_older = position is not None, len(rows) > limit
            rows = rows[:limit]
        if not rows and position is not None:
            return self._way_back(self._queries, owner, back, position, filters)
        return Page(
            items=[summary for _, summary in rows],
            next=_write_cursor("b", rows[-1][0]) if rows and more_older else None,
            prev=_write_cursor("n", rows[0][0]) if rows and more_newer else None,
        )

    def _way_back(self, queries: HistoryQueries, owner: str, back: bool, position: int, filters: Filters) -> Page:
        """The cursor's rows are gone: an empty page that leads to the remaining ones."""
        if back:
            left = queries.newest(owner, 1, before=position + 1, filters=filters)
            return Page(items=[], next=_write_cursor("b", position + 1) if left else None, prev=None)
        left = queries.newest(owner, 1, after=position - 1, filters=filters)
        return Page(items=[], next=None, prev=_write_cursor("n", max(0, position - 1)) if left else None)

    def get(self, owner: str, request_id: str) -> Generation:
        """Raises `NotFound`, also for another owner's generation."""
        generation = self._store.get(owner, request_id)
        if generation is None:
            raise _not_found()
        return generation

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

    def delete_all(self, owner: str) -> int:
        """Returns the number of deleted generations."""
        self._running.cancel_all(owner)
        deleted = self._retention.delete_all(owner)
        self._cache.discard_owner(owner)
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


def _not_found() -> NotFound:
    return NotFound("There is no generation with this id in your history. It may have been deleted.")


def _write_cursor(direction: str, position: int) -> str:
    """Opaque to callers: `b` = before this position, `n` = newer than it."""
    return f"{direction}{position}"


def _read_cursor(cursor: str) -> tuple[bool, int]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput.of([FieldError("cursor", "must be the next or prev of a page")])
    return match[1] == "n", int(match[2])
