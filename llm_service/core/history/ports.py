"""What the history needs from the world."""

from collections.abc import Iterator, Sequence, Set
from typing import Protocol

from ..generation.model import Generation, GenerationSummary, IdempotencyKey, KeyHolder
from ..limits.rules import Reservation, ReservationResult
from .model import EVERYTHING, Filters


class HistoryStore(Protocol):
    """The stored generations. Every method that takes an owner sees that owner's rows only.

    When a method returns, its change is durable. All raise `StorageError`.
    """

    def start(self, generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        """Store a `running` generation with its texts, and take the hold with it: both, or where it is refused neither."""
        ...

    def finish(self, generation: Generation) -> bool:
        """Store the outcome of a started generation. False: the row was deleted meanwhile."""
        ...

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        """As `finish`, with a copy of the texts under a new `answer_id`: its output is not that of those who share.

        Its call goes on for them: what is held for it is kept until `bill_late` tells what it came to.
        """
        ...

    def bill_late(self, was: Generation, now: Generation) -> None:
        """Store a bill that came after the outcome was stored (`was`), also if the row was deleted meanwhile."""
        ...

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        """Store a generation that the cache answered with the answer that is stored as `answer_id`.

        False, and nothing is stored: that answer was deleted meanwhile, perhaps in another process.
        """
        ...

    def record_shared(self, generation: Generation) -> Generation:
        """Store a generation that shares the texts of `generation.answer_id`; the generation as it was stored.

        Where those texts are gone it stores them again, under its own id.
        """
        ...

    def claim_key(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        """Give the key to a request, for 24 hours. The holder if another has it: one that runs or gave an answer."""
        ...

    def release_key(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        """Take the key back from a request that came to nothing."""
        ...

    def prune_keys(self, before_ms: int) -> int:
        """Forget keys that were claimed before; how many."""
        ...

    def ask_to_cancel(self, owner: str, request_id: str) -> None:
        """Mark a running generation of another process: that process ends it when it looks (`running_ids`)."""
        ...

    def running_ids(self) -> Set[str]:
        """The request_ids of everything that runs, of every owner and process."""
        ...

    def get(self, owner: str, request_id: str) -> Generation | None: ...

    def owner_of(self, request_id: str) -> str | None:
        """Whose generation it is, for those who may see everybody's; None = there is none."""
        ...

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

        With `after`, the rows are those next to it, so that paging back shows no gap. A search finds the texts of
        generations that are over; each row then has its `match`.
        """
        ...

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        """The owner's generations, newest first, in constant memory; no reader keeps a writer waiting."""
        ...

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
        """Take what was deleted out of the bytes of the files, too."""
        ...

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        """Mark as `interrupted` what still runs and began before `created_ms`; how many rows."""
        ...

    def check(self) -> None:
        """Raise a `StorageError` if nothing could be stored now."""
        ...

    def close(self) -> None: ...
