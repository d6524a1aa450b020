"""The history of a service that keeps none (`APP_HISTORY=off`). Its usage is counted all the same.

What was kept before is shown no more, but grows old and is deleted as it would be otherwise.
"""

from collections.abc import Iterator, Sequence, Set
from functools import partial

from llm_service.core.generation.model import Generation, GenerationSummary, IdempotencyKey, KeyHolder, Status
from llm_service.core.history.model import EVERYTHING, Filters
from llm_service.core.limits.rules import Reservation, ReservationResult

from .history import SqlHistory
from .reservations import take
from .sqlite.database import Database
from .usage_ledger import count


class NullHistory:
    """Satisfies `HistoryStore` with no rows: it knows what runs in this process, and forgets it at its end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before = SqlHistory(database)
        self._running: dict[str, Generation] = {}

    def start(self, generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        taken = self._database.write(lambda connection: take(connection, hold)) if hold else None
        if taken and taken.refused:
            return taken
        if generation.status is Status.RUNNING:
            self._running[generation.request_id] = generation
        else:
            self._count(generation)
        return taken

    def finish(self, generation: Generation) -> bool:
        self._count(generation)
        return self._forget(generation)

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        self._count(generation, settles=False)
        return self._forget(generation)

    def bill_late(self, was: Generation, now: Generation) -> None:
        self._count(now, instead_of=was)

    def _forget(self, generation: Generation) -> bool:
        return self._running.pop(generation.request_id, None) is not None

    def _count(self, generation: Generation, instead_of: Generation | None = None, *, settles: bool = True) -> None:
        self._database.write(partial(count, generation=generation, instead_of=instead_of, settles=settles))

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        self.start(generation)
        return True

    def record_shared(self, generation: Generation) -> Generation:
        self.start(generation)
        return generation

    def claim_key(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        return None

    def release_key(self, owner: str, key: IdempotencyKey, request_id: str) -> None: ...

    def prune_keys(self, before_ms: int) -> int:
        return self._before.prune_keys(before_ms)

    def ask_to_cancel(self, owner: str, request_id: str) -> None: ...

    def running_ids(self) -> Set[str]:
        return set(self._running)

    def get(self, owner: str, request_id: str) -> Generation | None:
        found = self._running.get(request_id)
        return found if found is not None and found.owner == owner else None

    def owner_of(self, request_id: str) -> str | None:
        found = self._running.get(request_id)
        return None if found is None else found.owner

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        return []

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        return iter(())

    def delete(self, owner: str, request_id: str) -> str | None:
        return self._before.delete(owner, request_id)

    def delete_all(self, owner: str) -> int:
        return self._before.delete_all(owner)

    def prune(self, before_ms: int) -> int:
        return self._before.prune(before_ms)

    def scrub(self) -> None:
        self._before.scrub()

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        return self._before.interrupt_older_than(created_ms, now_ms)

    def check(self) -> None:
        self._database.check()

    def close(self) -> None:
        self._database.close()
