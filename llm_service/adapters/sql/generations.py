"""The write side of the history in SQL: generations, their texts and their outcomes.

The core composes transactions with `SqlUnitOfWork`: a generation's row and its reservation commit together.

Longer than other modules: what one transaction changes is in one place.
"""

from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from llm_service.core.generation.model import Generation, Status
from llm_service.core.generation.ports import UnitOfWork

from . import answers as texts
from . import locks, upsert
from .compiled import Compiled
from .database import Database
from .group_writer import InsertRow
from .reservations import SqlReservations, lock_reservations
from .rows import (
    ANSWER,
    GENERATION,
    OUTCOME,
    SWITCHED,
    WHOLE,
    answer_row,
    generation_of,
    generation_row,
    outcome_row,
    switched_row,
)
from .shared_document import SharedDocument
from .tables import answers, generations
from .usage_ledger import count

T = TypeVar("T")
KeptTexts = Callable[[Generation], Generation]
"""The part of a generation that is stored: all of it, or all except its texts."""

_INSERT_ANSWER = Compiled(insert(answers), ANSWER)
_INSERT_OWN_ANSWER = Compiled(upsert.insert(answers).on_conflict_do_nothing(), ANSWER)
_INSERT_GENERATION = Compiled(insert(generations).values(document=SharedDocument()), GENERATION)
# Where a table tells which processes run (`postgres.presence`).
_INSERT_RUNNING = Compiled(insert(generations).values(document=SharedDocument()), (*GENERATION, "process_id"))
_mine = (generations.c.request_id == bindparam("id"), generations.c.owner == bindparam("of"))
_UNFINISHED = generations.c.finished_ms.is_(None)
# How nearly all end. If it finds no row, the others find out why.
_FINISH_RUNNING = Compiled(
    update(generations)
    .where(*_mine, _UNFINISHED)
    .values({name: bindparam(name) for name in OUTCOME})
    .returning(generations.c.position)
)
_FINISH = Compiled(update(generations).where(*_mine).values({name: bindparam(name) for name in OUTCOME}))
_FINISH_SWITCHED = Compiled(
    update(generations).where(*_mine).values({name: bindparam(name) for name in (*OUTCOME, *SWITCHED)})
)
_MOVE = update(generations).where(*_mine).values(answer_id=bindparam("to"), document=None)
_BEGIN_CALL = update(generations).where(*_mine, generations.c.finished_ms.is_(None)).values(attempts=1)
_SET_OUTPUT = Compiled(update(answers).where(answers.c.answer_id == bindparam("id")).values(output=bindparam("output")))
_OVER = WHOLE.where(*_mine, generations.c.finished_ms.is_not(None))
_MINE = WHOLE.where(*_mine)
_FINISHED_MS = Compiled(select(generations.c.finished_ms).where(*_mine).with_for_update())
_ORPHANS = WHOLE.where(_UNFINISHED, generations.c.request_id.in_(bindparam("ids", expanding=True)))
_ANSWERED = (Status.COMPLETED, Status.INCOMPLETE)


class SqlUnitOfWork:
    """Satisfies `UnitOfWork`, inside a transaction of its connection."""

    def __init__(self, connection: Connection, kept_texts: KeptTexts, process_id: str | None = None) -> None:
        self.generations = SqlGenerationWriter(connection, kept_texts, process_id)
        self.reservations = SqlReservations(connection)


class SqlGenerationWriter:
    """Satisfies `GenerationWriter`."""

    def __init__(self, connection: Connection, kept_texts: KeptTexts, process_id: str | None = None) -> None:
        self._connection = connection
        self._kept_texts = kept_texts
        self._process_id = process_id

    def start(self, generation: Generation) -> None:
        kept = self._kept_texts(generation)
        _INSERT_ANSWER.execute(self._connection, answer_row(kept))
        statement, row = _insertion(kept, self._process_id)
        statement.execute(self._connection, row)
        count(self._connection, generation)
        if kept.status is not Status.RUNNING:
            texts.index(self._connection, kept)

    def begin_call(self, generation: Generation) -> None:
        self._connection.execute(_BEGIN_CALL, {"id": generation.request_id, "of": generation.owner})

    def finish(self, generation: Generation) -> bool:
        kept = self._kept_texts(generation)
        connection, answer_id = self._connection, kept.answer_id
        owns = answer_id == kept.request_id
        # Hundreds that share a call end together, in several processes: only one has to write the texts.
        writes = owns or (kept.status in _ANSWERED and texts.lack_output(connection, answer_id))
        locks.lock_answer(connection, answer_id, shared=not writes)
        position = self._finish_running(kept)
        if position is None and not self._store_outcome(kept):
            return False
        if owns and position is not None and texts.complete(connection, kept, position):
            return True
        # Shared texts have the whole answer or none.
        if owns or (writes and texts.lack_output(connection, answer_id)):
            document = texts.unindex(connection, kept.owner, answer_id)
            _SET_OUTPUT.execute(connection, {"id": answer_id, "output": kept.output})
            texts.index(connection, kept, document)
        return True

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        kept = self._kept_texts(generation)
        connection, own = self._connection, replace(kept, answer_id=answer_id)
        locks.lock_answer(connection, kept.answer_id)
        if not self._store_outcome(kept):
            return False
        if not _INSERT_OWN_ANSWER.execute(connection, answer_row(own)).rowcount:
            return True  # its commit was in doubt, and it is stored again
        connection.execute(_MOVE, {"id": kept.request_id, "of": kept.owner, "to": answer_id})
        texts.index(connection, own)
        texts.delete_unshared(connection, kept.owner, [kept.answer_id])
        return True

    def amend_billing(self, was: Generation, now: Generation) -> None:
        locks.lock_generations(self._connection, [now.request_id], with_answers=True)
        row = self._connection.execute(_MINE, {"id": now.request_id, "of": now.owner}).one_or_none()
        if row is not None:
            stored = generation_of(row)
            if (stored.status, stored.finished_ms) != (was.status, was.finished_ms):
                self._finish_whole(now, stored.answer_id)
                return
            if outcome_row(stored) == outcome_row(now) != outcome_row(was):
                return
        count(self._connection, now, instead_of=was)
        _finish(self._connection, now)

    def interrupt(self, request_ids: Sequence[str], now_ms: int) -> Sequence[Generation]:
        interrupted = []
        lock_reservations(self._connection, request_ids)
        locks.lock_generations(self._connection, request_ids, with_answers=True)
        for row in map(generation_of, self._connection.execute(_ORPHANS, {"ids": request_ids}).all()):
            # The process may have died after it was asked to cancel and before it did.
            status = Status.INTERRUPTED if row.status is Status.RUNNING else row.status
            over = replace(row, status=status, error=status.value, finished_ms=now_ms)
            _finish(self._connection, over)
            count(self._connection, over)
            texts.index_once(self._connection, row)
            interrupted.append(over)
        return interrupted

    def _finish_whole(self, generation: Generation, answer_id: str) -> None:
        """`answer_id`: the texts that its row has."""
        if generation.answer_id == answer_id:
            self.finish(generation)
        else:
            self.finish_with_own_answer(replace(generation, answer_id=answer_id), generation.answer_id)

    def _finish_running(self, generation: Generation) -> int | None:
        """Store the outcome of a row that has none, and count it; its position. None: nothing was done."""
        if generation.fallbacks:
            return None
        rows = _FINISH_RUNNING.execute(self._connection, outcome_row(generation)).fetchall()
        if not rows:
            return None
        count(self._connection, generation)
        return int(rows[0][0])

    def _store_outcome(self, generation: Generation) -> bool:
        """Store it and add it to the usage sums; False: the row is gone.

        A row that another process gave up was counted then; the sums are corrected. A row that was deleted while it ran
        is counted here.
        """
        mine = {"id": generation.request_id, "of": generation.owner}
        row = _FINISHED_MS.execute(self._connection, mine).fetchone()
        if row is not None and row[0] is not None:
            over = generation_of(self._connection.execute(_OVER, mine).one())
            count(self._connection, generation, instead_of=over)
        else:
            count(self._connection, generation)
        return _finish(self._connection, generation)


class SqlGenerations:
    """Satisfies `GenerationStore` and `RemoteControl`."""

    def __init__(self, database: Database, *, keeps_texts: bool = True, process_id: str | None = None) -> None:
        """`process_id`: this process's in the table of processes, where there is one (`postgres.presence`)."""
        self._database = database
        self._process_id = process_id
        self._kept_texts: KeptTexts = _whole if keeps_texts else Generation.without_texts

    def transaction(self, work: Callable[[UnitOfWork], T], *, short: bool = True, wait_s: float | None = None) -> T:
        return self._database.write(
            lambda connection: work(SqlUnitOfWork(connection, self._kept_texts, self._process_id)),
            short=short,
            wait_s=wait_s,
        )

    def record_hit(self, generation: Generation, answer_id: str, *, durable: bool) -> bool:
        if generation.answer_id == answer_id:
            return self._insert_sharing(generation, durable=durable)

        def work(connection: Connection) -> bool:
            if not texts.are_there(connection, answer_id, locked=True):
                return False
            SqlGenerationWriter(connection, self._kept_texts).start(generation)  # it does not run
            return True

        return self._database.write(work, durable=durable, short=True)

    def record_started(self, generation: Generation) -> Generation:
        # Without its row, a paid generation would be taken for one that was deleted.
        durable = self._database.crashes_alone
        if generation.answer_id != generation.request_id:
            if self._insert_sharing(generation, durable=durable):
                return generation
            # The shared texts were deleted in the meantime.
            generation = replace(generation, answer_id=generation.request_id)
        started = generation
        self._database.write(
            lambda connection: SqlGenerationWriter(connection, self._kept_texts, self._process_id).start(started),
            durable=durable,
            short=True,
        )
        return generation

    def get(self, owner: str, request_id: str) -> Generation | None:
        query = WHOLE.where(generations.c.owner == owner, generations.c.request_id == request_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else generation_of(row)

    def owner_of(self, request_id: str) -> str | None:
        query = select(generations.c.owner).where(generations.c.request_id == request_id)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    def has_answer(self, answer_id: str) -> bool:
        return self._database.read(lambda connection: texts.are_there(connection, answer_id))

    def request_cancel(self, owner: str, request_id: str) -> None:
        statement = (
            update(generations)
            .where(
                generations.c.owner == owner,
                generations.c.request_id == request_id,
                generations.c.status == Status.RUNNING.value,
            )
            .values(status=Status.CANCELLED.value, error=Status.CANCELLED.value)
        )
        self._database.write(lambda connection: connection.execute(statement))

    def running_ids(self) -> Set[str]:
        query = select(generations.c.request_id).where(_UNFINISHED, generations.c.status == Status.RUNNING.value)
        if self._process_id is not None:
            # Each process asks often, and all of them together may run very many.
            query = query.where(generations.c.process_id == self._process_id)
        return self._database.read(lambda connection: set(connection.execute(query).scalars()))

    def interrupted_among(self, request_ids: Collection[str]) -> Set[str]:
        query = select(generations.c.request_id).where(
            generations.c.request_id.in_(request_ids), generations.c.status == Status.INTERRUPTED.value
        )
        return self._database.read(lambda connection: set(connection.execute(query).scalars()))

    def unfinished_ids(self) -> Set[str]:
        return self._database.read(unfinished_ids)

    def _insert_sharing(self, generation: Generation, *, durable: bool) -> bool:
        """Insert a row that shares texts; False: they are gone. Concurrent inserts become one statement."""
        statement, row = _insertion(self._kept_texts(generation), self._process_id)
        try:
            insert_row = InsertRow(statement, row, partial(count, generation=generation))
            self._database.write(insert_row, durable=durable, short=True)
        except IntegrityError:
            return False
        return True


def _insertion(generation: Generation, process_id: str | None) -> tuple[Compiled, dict[str, Any]]:
    row = generation_row(generation)
    if process_id is None:
        return _INSERT_GENERATION, row
    return _INSERT_RUNNING, {**row, "process_id": process_id}


def _finish(connection: Connection, generation: Generation) -> bool:
    """False: the row is gone."""
    if generation.fallbacks:
        return bool(_FINISH_SWITCHED.execute(connection, switched_row(generation)).rowcount)
    return bool(_FINISH.execute(connection, outcome_row(generation)).rowcount)


def unfinished_ids(connection: Connection) -> Set[str]:
    """Of all rows without an outcome."""
    return set(connection.execute(select(generations.c.request_id).where(_UNFINISHED)).scalars())


def _whole(generation: Generation) -> Generation:
    return generation
