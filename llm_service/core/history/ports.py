"""The interfaces that the history needs. Methods with an owner see only that owner's rows; all raise `StorageError`."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..generation.model import Generation, GenerationSummary
from .model import EVERYTHING, Filters, MarkChanges


class HistoryQueries(Protocol):
    """Lists of stored generations."""

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
        """Up to `limit` rows, newest first, each with its position; `before`/`after` are exclusive positions.

        `stop`: the last position that is looked at, however few rows that gives; None = all.
        With `after`, the rows are those next to it, so paging back leaves no gap. A search finds the texts of
        generations that are over, and each row has its `match`.
        """
        ...

    def position_of(self, owner: str, nth: int, *, before: int | None = None, after: int | None = None) -> int | None:
        """The position of the owner's `nth` row, counted from the newest, or from a position; None = fewer rows."""
        ...

    def count(self, owner: str, at_most: int, *, stop: int | None = None, filters: Filters = EVERYTHING) -> int:
        """How many rows match, counted up to `at_most` and, newest first, to the position `stop`."""
        ...

    def locate(self, owner: str, request_id: str) -> int | None:
        """The position of a row; None = there is none."""
        ...

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        """The owner's generations, newest first, in constant memory. Readers do not block writers."""
        ...


class MarkStore(Protocol):
    """Stars and tags of stored generations. They go with their generation."""

    def tags_of(self, owner: str, request_id: str) -> tuple[str, ...]:
        """In alphabetical order."""
        ...

    def change(self, owner: str, request_id: str, changes: MarkChanges, now_ms: int) -> bool:
        """Durable when it returns. False: there is no such row."""
        ...

    def used_tags(self, owner: str, at_most: int) -> Sequence[tuple[str, int]]:
        """The owner's tags with the number of their generations, the most used first. Old ones may be left out."""
        ...


class Retention(Protocol):
    """Deletes generations. Changes are durable when a method returns."""

    def delete(self, owner: str, request_id: str) -> str | None:
        """Delete a row, and its texts if no other row shares them. Returns its cache key; None if there was no row."""
        ...

    def delete_all(self, owner: str) -> int:
        """Delete the owner's current rows and texts; how many rows. In small steps, as `prune`."""
        ...

    def prune(self, before_ms: int) -> int:
        """Delete rows of every owner that began before, except running ones; how many. Writers never wait long."""
        ...

    def scrub(self) -> None:
        """Remove deleted text also from the bytes of the files."""
        ...


class StorageHealth(Protocol):
    """Whether the store works."""

    def check(self) -> None:
        """Raise a `StorageError` if nothing could be stored now."""
        ...
