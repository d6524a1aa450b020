"""Generations with `APP_HISTORY=off`: no rows, but usage and limits are counted."""

from collections.abc import Callable, Sequence, Set
from typing import TypeVar

from sqlalchemy import Connection

from llm_service.core.generation.model import Generation, Status
from llm_service.core.generation.ports import UnitOfWork

from .database import Database
from .generations import SqlGenerationWriter, unfinished_ids
from .reservations import SqlReservations
from .usage_ledger import count

T = TypeVar("T")


class NullGenerations:
    """Satisfies `GenerationStore` without rows: it keeps only the running generations of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.running: dict[str, Generation] = {}

    def transaction(self, work: Callable[[UnitOfWork], T], *, short: bool = True, wait_s: float | None = None) -> T:
        return self._transaction(work, durable=True, short=short, wait_s=wait_s)

    def _transaction(
        self, work: Callable[[UnitOfWork], T], *, durable: bool, short: bool, wait_s: float | None = None
    ) -> T:
        unit: _NullUnitOfWork | None = None

        def in_transaction(connection: Connection) -> T:
            nonlocal unit
            unit = _NullUnitOfWork(connection, self.running)
            return work(unit)

        result = self._database.write(in_transaction, durable=durable, short=short, wait_s=wait_s)
        # The work may run twice, so memory changes only after the commit.
        assert unit is not None
        self.running |= unit.generations.started
        for request_id in unit.generations.finished:
            self.running.pop(request_id, None)
        return result

    def record_hit(self, generation: Generation, answer_id: str, *, durable: bool) -> bool:
        self._transaction(lambda unit: unit.generations.start(generation), durable=durable, short=True)
        return True

    def record_started(self, generation: Generation) -> Generation:
        """Needs no database: a write that waits for its lock would hold up the call."""
        self.running[generation.request_id] = generation
        return generation

    def get(self, owner: str, request_id: str) -> Generation | None:
        found = self.running.get(request_id)
        return found if found is not None and found.owner == owner else None

    def owner_of(self, request_id: str) -> str | None:
        found = self.running.get(request_id)
        return None if found is None else found.owner

    def has_answer(self, answer_id: str) -> bool:
        return True

    def unfinished_ids(self) -> Set[str]:
        """Of rows from before the history was switched off, and of this process."""
        return {*self._database.read(unfinished_ids), *self.running}


class _NullUnitOfWork:
    def __init__(self, connection: Connection, running: dict[str, Generation]) -> None:
        self.generations = _NullWriter(connection, running)
        self.reservations = SqlReservations(connection)


class _NullWriter:
    """`started` and `finished`: what the transaction did."""

    def __init__(self, connection: Connection, running: dict[str, Generation]) -> None:
        self._connection = connection
        self.running = running
        self.started: dict[str, Generation] = {}
        self.finished: list[str] = []

    def start(self, generation: Generation) -> None:
        if generation.status is Status.RUNNING:
            self.started[generation.request_id] = generation
        else:
            count(self._connection, generation)

    def begin_call(self, generation: Generation) -> None:
        """There is no row: what runs here is known to run."""

    def finish(self, generation: Generation) -> bool:
        count(self._connection, generation)
        self.finished.append(generation.request_id)
        return generation.request_id in self.running

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        return self.finish(generation)

    def amend_billing(self, was: Generation, now: Generation) -> None:
        count(self._connection, now, instead_of=was)
        # If another process stored the outcome, it still runs here.
        self.finished.append(now.request_id)

    def interrupt(self, request_ids: Sequence[str], now_ms: int) -> Sequence[Generation]:
        """For rows from before the history was switched off. What is still here was counted by who stored its outcome."""
        self.finished.extend(request_ids)
        return SqlGenerationWriter(self._connection, Generation.without_texts).interrupt(request_ids, now_ms)
