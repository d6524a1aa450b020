"""Adds and deletes texts and rows. The search index always holds exactly the stored texts that are final."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, exists, select, update

from llm_service.core.generation.model import Generation

from . import locks, search_index
from .compiled import Compiled
from .tables import answers, generation_tags, generations, idempotency_keys

DELETED = select(
    generations.c.request_id,
    generations.c.owner,
    generations.c.answer_id,
    generations.c.cache_key,
    generations.c.position,
)
_INDEXED = select(answers.c.document, answers.c.input, answers.c.output).where(answers.c.document.is_not(None))
_INDEXED_ONE = Compiled(_INDEXED.where(answers.c.answer_id == bindparam("id")))
_POSITION = Compiled(select(generations.c.position).where(generations.c.request_id == bindparam("id")))
_NUMBER_ANSWER, _NUMBER_ROWS = [
    Compiled(
        update(table)
        .where(table.c.answer_id == bindparam("id"), table.c.document.is_(None))
        .values(document=bindparam("number"))
    )
    for table in (answers, generations)
]
_COMPLETE = Compiled(
    update(answers)
    .where(answers.c.answer_id == bindparam("id"), answers.c.document.is_(None))
    .values(document=bindparam("number"), output=bindparam("output"))
)


def index(connection: Connection, generation: Generation, document: int | None = None) -> None:
    """Index final texts, as a new document or under the number of an earlier one."""
    if not generation.has_texts:
        return
    if document is None:
        document = _POSITION.execute(connection, {"id": generation.request_id}).fetchone()[0]
    search_index.of(connection).write(connection, document, generation.owner, generation.input, generation.output)
    for number in (_NUMBER_ANSWER, _NUMBER_ROWS):
        number.execute(connection, {"id": generation.answer_id, "number": document})


def complete(connection: Connection, generation: Generation, document: int) -> bool:
    """Add the output to texts that are in no document yet, and index them as this one. False: nothing was done."""
    if not generation.has_texts:
        return False
    answer = {"id": generation.answer_id, "number": document, "output": generation.output}
    if _COMPLETE.execute(connection, answer).rowcount != 1:
        return False
    search_index.of(connection).write(connection, document, generation.owner, generation.input, generation.output)
    _NUMBER_ROWS.execute(connection, answer)
    return True


def index_once(connection: Connection, generation: Generation) -> None:
    """Index the texts of a generation that nobody will complete, unless they are indexed."""
    indexed = select(answers.c.answer_id).where(answers.c.answer_id == generation.answer_id)
    if connection.execute(indexed.where(answers.c.document.is_not(None))).one_or_none() is None:
        index(connection, generation)


def are_there(connection: Connection, answer_id: str, *, locked: bool = False) -> bool:
    """`locked`: nobody deletes them before the transaction ends."""
    query = select(answers.c.answer_id).where(answers.c.answer_id == answer_id)
    if locked:
        query = query.with_for_update(read=True, key_share=True)
    return connection.execute(query).one_or_none() is not None


def lack_output(connection: Connection, answer_id: str) -> bool:
    lacking = select(answers.c.answer_id).where(answers.c.answer_id == answer_id, answers.c.output.is_(None))
    return connection.execute(lacking).one_or_none() is not None


def unindex(connection: Connection, owner: str, answer_id: str) -> int | None:
    """Remove texts that are about to change from the index. Returns the number of their document, if they have one."""
    row = _INDEXED_ONE.execute(connection, {"id": answer_id}).fetchone()
    if row is None:
        return None
    document, *texts = row
    search_index.of(connection).remove(connection, document, owner, *texts)
    for table in (answers, generations):
        connection.execute(update(table).where(table.c.answer_id == answer_id).values(document=None))
    return int(document)


def delete_rows(connection: Connection, doomed: Select[Any]) -> Sequence[Row[Any]]:
    """Delete the rows that `doomed` (of `DELETED`) finds, with their idempotency keys, tags and texts without other rows."""
    rows = _locked(connection, doomed)
    ids = [row.request_id for row in rows]
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.request_id.in_(ids)))
    connection.execute(delete(generation_tags).where(generation_tags.c.position.in_([row.position for row in rows])))
    connection.execute(delete(generations).where(generations.c.request_id.in_(ids)))
    for owner in {row.owner for row in rows}:
        delete_unshared(connection, owner, [row.answer_id for row in rows if row.owner == owner])
    return rows


def _locked(connection: Connection, doomed: Select[Any]) -> Sequence[Row[Any]]:
    """The rows, whose outcomes nobody changes before the transaction ends. Their texts are locked first."""
    rows = connection.execute(doomed).all()
    if not rows or not locks.has_other_writers(connection):
        return rows
    locks.lock_doomed_answers(connection, [row.answer_id for row in rows])
    ids = [row.request_id for row in rows]
    # Again: a row may be gone, or have texts of its own now.
    locked: Select[Any] = (
        DELETED.where(generations.c.request_id.in_(ids)).order_by(generations.c.position).with_for_update()
    )
    return connection.execute(locked).all()


def delete_unshared(connection: Connection, owner: str, answer_ids: Sequence[str]) -> None:
    """Delete texts that no row refers to, also from the index."""
    locks.lock_doomed_answers(connection, answer_ids)
    unshared = and_(
        answers.c.answer_id.in_(answer_ids), ~exists().where(generations.c.answer_id == answers.c.answer_id)
    )
    for row in connection.execute(_INDEXED.where(unshared)).all():
        search_index.of(connection).remove(connection, row.document, owner, row.input, row.output)
    connection.execute(delete(answers).where(unshared))
