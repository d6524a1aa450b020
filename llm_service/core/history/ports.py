"""What the history needs from the world. Every method that takes an owner sees that owner's rows only; all raise `StorageError`."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..generation.model import Generation, GenerationSummary
from .model import EVERYTHING, Filters


class HistoryQueries(Protocol):
    """Lists of stored generations."""

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        """Up to `limit` rows, newest first, each with its position; `before`/`after` are exclusive positions.

        With `after`, the rows are those next to it: paging back shows no gap. A search finds the texts of generations
        that are over; each row then has its `match`.
        """
        ...

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        """The owner's generations, newest first, in constant memory; no reader keeps a writer waiting."""
        ...

    def owner_of(self, request_id: str) -> str | None:
        """Whose generation it is, for those who may see everybody's; None = there is none."""
        ...


class Retention(Protocol):
    """Deletion. When a method returns, its change is durable."""

    def delete(self, owner: str, request_id: str) -> str | None:
        """Delete a row, and its texts if no other row shares them. Its cache key, or None if there was no such row."""
        ...

    def delete_all(self, owner: str) -> int:
        """Delete the rows and texts that the owner has now; how many rows. In small steps, as `prune`."""
        ...

    def prune(self, before_ms: int) -> int:
        """Delete what began before, of every owner, but what runs; how many rows. No writer waits for long meanwhile."""
        ...

    def scrub(self) -> None:
        """Remove what was deleted from the bytes of the files, too."""
        ...


class StorageHealth(Protocol):
    """Whether the store works."""

    def check(self) -> None:
        """Raise a `StorageError` if nothing could be stored now."""
        ...
