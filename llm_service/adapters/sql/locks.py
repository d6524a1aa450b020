"""Locks on PostgreSQL, where transactions run side by side. SQLite has one writer: there these functions do nothing.

Transactions take them in this order, so that hardly any two wait for each other: the lock of all limits, reservations,
answers, generations; and last, sorted, what was spent and the usage sums. What is read under a lock must be read after it,
in a statement of its own: a statement sees what was committed when it began.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, true

from .compiled import Compiled
from .group_writer import BUSY_STEP_S
from .tables import answers, generations

# Chosen at random; nobody else may use it in this database.
LIMITS_LOCK = 7_349_105_862_411
_LIMITS_LOCKED = "the limits are locked in this transaction"
# A group waits longer for it than for other locks: its holder needs it for a moment only, and most of the group needs it.
LIMITS_WAIT = "1s"
_timeout = func.current_setting("lock_timeout")
_longer = case((_timeout == f"{round(BUSY_STEP_S * 1000)}ms", LIMITS_WAIT), else_=_timeout)
_LIMITS = select(func.set_config("lock_timeout", _longer, true()), func.pg_advisory_xact_lock(LIMITS_LOCK))
# Weaker than for a deletion: the foreign keys of rows that are inserted meanwhile may refer to it.
_ANSWER = Compiled(
    select(answers.c.answer_id).where(answers.c.answer_id == bindparam("id")).with_for_update(key_share=True)
)
_SHARED_ANSWER = Compiled(
    select(answers.c.answer_id).where(answers.c.answer_id == bindparam("id")).with_for_update(read=True)
)
_DOOMED_ANSWERS = (
    select(answers.c.answer_id)
    .where(answers.c.answer_id.in_(bindparam("ids", expanding=True)))
    .order_by(answers.c.answer_id)
    .with_for_update()
)
_ANSWERS_OF = (
    select(answers.c.answer_id)
    .where(
        answers.c.answer_id.in_(
            select(generations.c.answer_id).where(generations.c.request_id.in_(bindparam("ids", expanding=True)))
        )
    )
    .order_by(answers.c.answer_id)
    .with_for_update(key_share=True)
)
_GENERATIONS = (
    select(generations.c.request_id)
    .where(generations.c.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(generations.c.position)
    .with_for_update()
)


def has_other_writers(connection: Connection) -> bool:
    """Whether others may write during this transaction."""
    return connection.dialect.name == "postgresql"


def begin(info: dict[Any, Any]) -> None:
    """Call it at the beginning of each transaction, with the connection's `info`."""
    info[_LIMITS_LOCKED] = False


def lock_limits(connection: Connection) -> None:
    """Nobody else reserves anything until the transaction ends.

    There is one lock for all accounts: a transaction reserves for many callers, and locks for each could deadlock.
    """
    if has_other_writers(connection) and not connection.info.get(_LIMITS_LOCKED):
        connection.execute(_LIMITS)
        connection.info[_LIMITS_LOCKED] = True


def lock_answer(connection: Connection, answer_id: str, *, shared: bool = False) -> None:
    """The texts that are about to be completed or indexed. `shared`: nobody else may do that meanwhile.

    Do not lock one for yourself after it was shared: two who did so would wait for each other.
    """
    if has_other_writers(connection):
        (_SHARED_ANSWER if shared else _ANSWER).execute(connection, {"id": answer_id}).fetchall()


def lock_doomed_answers(connection: Connection, answer_ids: Iterable[str]) -> None:
    """Texts that may be deleted. Rows that join them wait, and then find no texts."""
    if has_other_writers(connection):
        connection.execute(_DOOMED_ANSWERS, {"ids": sorted(set(answer_ids))}).all()


def lock_generations(connection: Connection, request_ids: Iterable[str], *, with_answers: bool = False) -> None:
    """Rows whose outcome is about to change. `with_answers`: with their texts, which come first."""
    if not has_other_writers(connection):
        return
    ids = {"ids": list(request_ids)}
    if with_answers:
        connection.execute(_ANSWERS_OF, ids).all()
    connection.execute(_GENERATIONS, ids).all()
