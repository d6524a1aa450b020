"""Reading and deleting what was kept, for one owner at a time."""

import re
from collections.abc import Iterator

from .errors import FieldError, InvalidInput, NotFound
from .live import Live
from .model import Generation, Page
from .ports import Cache, HistoryStore

MAX_PAGE = 200
DEFAULT_PAGE = 50
_CURSOR = re.compile(r"([bn])([0-9]{1,18})", re.ASCII)


class History:
    """The history of generations. A deleted one is gone from the cache too, and stopped first if it still runs."""

    def __init__(self, store: HistoryStore, cache: Cache, live: Live) -> None:
        self._store = store
        self._cache = cache
        self._live = live

    def page(self, owner: str, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> Page:
        """One page, newest first. `cursor` is another page's `next` or `prev`.

        Raises `InvalidInput` for a cursor that no page gave, or a limit outside 1..200.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput.of([FieldError("limit", f"must be between 1 and {MAX_PAGE}")])
        back, position = _read_cursor(cursor) if cursor is not None else (False, None)
        # One row more than asked for tells whether there is another page.
        if back:
            rows = list(self._store.newest(owner, limit + 1, after=position))
            more_newer, more_older = len(rows) > limit, True
            rows = rows[-limit:]
        else:
            rows = list(self._store.newest(owner, limit + 1, before=position))
            more_newer, more_older = position is not None, len(rows) > limit
            rows = rows[:limit]
        return Page(
            items=[summary for _, summary in rows],
            next=_write_cursor("b", rows[-1][0]) if rows and more_older else None,
            prev=_write_cursor("n", rows[0][0]) if rows and more_newer else None,
        )

    def get(self, owner: str, request_id: str) -> Generation:
        """Raises `NotFound`, for another owner's generation too."""
        generation = self._store.get(owner, request_id)
        if generation is None:
            raise _not_found()
        return generation

    def export(self, owner: str) -> Iterator[Generation]:
        """All of the owner's generations, newest first."""
        return self._store.export(owner)

    def delete(self, owner: str, request_id: str) -> None:
        """Raises `NotFound`."""
        self._live.cancel(owner, request_id)
        key = self._store.delete(owner, request_id)
        if key is None:
            raise _not_found()
        self._cache.discard(key)

    def delete_all(self, owner: str) -> int:
        """How many generations were deleted."""
        self._live.cancel_all(owner)
        deleted = self._store.delete_all(owner)
        self._cache.discard_owner(owner)
        return deleted


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
