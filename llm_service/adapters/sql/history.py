"""The history of generations in SQL."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from llm_service.core.model import (
    Generation,
    GenerationSummary,
    IdempotencyKey,
    KeyHolder,
    Prompts,
    Status,
    Usage,
)  # fmt: skip

from . import idempotency
from .counting import count
from .engine import Database
from .money import from_pico, to_pico
from .tables import answers, generations, idempotency_keys
from .writer import InsertRow

EXPORT_BATCH = 200

_USAGE = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens")
_BILLED = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
_OUTCOME = (
    "status", *_USAGE, *(f"billed_{name}" for name in _BILLED), "cost_picousd", "saved_picousd", "price_version", "error",
    "incomplete_reason", "attempts", "upstream_request_id", "latency_ms", "finished_ms",
)  # fmt: skip
_SUMMARY = (
    "request_id", "template_id", "template_revision", "model", "status", "cached", "snippet", *_USAGE,
    "cost_picousd", "saved_picousd", "latency_ms", "created_ms", "error",
)  # fmt: skip
_LIST = select(generations.c.position, *(generations.c[name] for name in _SUMMARY))
_WHOLE = select(
    generations,
    answers.c.input, answers.c.parameters, answers.c.system_prompt, answers.c.user_prompt, answers.c.output,
    answers.c.structured,
).join(answers, answers.c.answer_id == generations.c.answer_id)  # fmt: skip
_INSERT_ANSWER = insert(answers)
_INSERT_GENERATION = insert(generations)
_FINISH = (
    update(generations)
    .where(generations.c.request_id == bindparam("id"), generations.c.owner == bindparam("of"))
    .values({name: bindparam(name) for name in _OUTCOME})
)
_SET_OUTPUT = update(answers).where(answers.c.answer_id == bindparam("id")).values(output=bindparam("output"))
_ADD_OUTPUT = _SET_OUTPUT.where(answers.c.output.is_(None))
_MOVE = (
    update(generations)
    .where(generations.c.request_id == bindparam("id"), generations.c.owner == bindparam("of"))
    .values(answer_id=bindparam("to"))
)
_OVER = _WHOLE.where(
    generations.c.request_id == bindparam("id"),
    generations.c.owner == bindparam("of"),
    generations.c.finished_ms.is_not(None),
)
_ANSWERED = (Status.COMPLETED, Status.INCOMPLETE)


class SqlHistory:
    """Satisfies `HistoryStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, generation: Generation) -> None:
        row, texts = _row(generation), _texts(generation)

        def work(connection: Connection) -> None:
            connection.execute(_INSERT_ANSWER, texts)
            connection.execute(_INSERT_GENERATION, row)
            count(connection, generation)

        self._database.write(work)

    def finish(self, generation: Generation) -> bool:
        outcome = _outcome(generation)
        texts = {"id": generation.answer_id, "output": generation.output}
        owns = generation.answer_id == generation.request_id

        def work(connection: Connection) -> bool:
            _count_outcome(connection, generation)
            if not connection.execute(_FINISH, outcome).rowcount:
                return False
            if owns:
                connection.execute(_SET_OUTPUT, texts)
            elif generation.status in _ANSWERED:
                # Texts that others share have the whole answer or none.
                connection.execute(_ADD_OUTPUT, texts)
            return True

        return self._database.write(work)

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        outcome, texts = _outcome(generation), _texts(replace(generation, answer_id=answer_id))
        move = {"id": generation.request_id, "of": generation.owner, "to": answer_id}

        def work(connection: Connection) -> bool:
            _count_outcome(connection, generation)
            if not connection.execute(_FINISH, outcome).rowcount:
                return False
            connection.execute(_INSERT_ANSWER, texts)
            connection.execute(_MOVE, move)
            connection.execute(delete(answers).where(answers.c.answer_id == generation.answer_id, ~_shared()))
            return True

        return self._database.write(work)

    def bill_late(self, was: Generation, now: Generation) -> None:
        outcome = _outcome(now)

        def work(connection: Connection) -> None:
            count(connection, now, instead_of=was)
            connection.execute(_FINISH, outcome)

        self._database.write(work)

    def record_shared(self, generation: Generation) -> Generation:
        if generation.answer_id == generation.request_id:
            self.start(generation)
            return generation
        row = _row(generation)
        try:
            self._database.write(InsertRow(_INSERT_GENERATION, row, partial(count, generation=generation)))
        except IntegrityError:
            # The shared texts were deleted while this answer was on its way.
            apart = replace(generation, answer_id=generation.request_id)
            self.start(apart)
            return apart
        return generation

    def claim_key(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        return self._database.write(lambda connection: idempotency.claim(connection, owner, key, request_id, now_ms))

    def release_key(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        self._database.write(lambda connection: idempotency.release(connection, owner, key, request_id))

    def prune_keys(self, before_ms: int) -> int:
        old = delete(idempotency_keys).where(idempotency_keys.c.created_ms < before_ms)
        return self._database.write(lambda connection: connection.execute(old).rowcount)

    def ask_to_cancel(self, owner: str, request_id: str) -> None:
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
        query = select(generations.c.request_id).where(generations.c.status == Status.RUNNING.value)
        return self._database.read(lambda connection: set(connection.execute(query).scalars()))

    def get(self, owner: str, request_id: str) -> Generation | None:
        query = _WHOLE.where(generations.c.owner == owner, generations.c.request_id == request_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _generation(row)

    def newest(
        self, owner: str, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[tuple[int, GenerationSummary]]:
        rows = self._rows(_LIST.where(generations.c.owner == owner), limit, before, after)
        return [(row.position, _summary(dict(row._mapping))) for row in rows]

    def export(self, owner: str) -> Iterator[Generation]:
        # Page by page: no transaction stays open while a slow reader takes its time.
        before = None
        while True:
            rows = self._rows(_WHOLE.where(generations.c.owner == owner), EXPORT_BATCH, before)
            yield from map(_generation, rows)
            if len(rows) < EXPORT_BATCH:
                return
            before = rows[-1].position

    def delete(self, owner: str, request_id: str) -> str | None:
        mine = and_(generations.c.owner == owner, generations.c.request_id == request_id)
        find = select(generations.c.answer_id, generations.c.cache_key).where(mine)

        def work(connection: Connection) -> str | None:
            row = connection.execute(find).one_or_none()
            if row is None:
                return None
            connection.execute(delete(idempotency_keys).where(idempotency_keys.c.request_id == request_id))
            connection.execute(delete(generations).where(mine))
            connection.execute(delete(answers).where(answers.c.answer_id == row.answer_id, ~_shared()))
            return str(row.cache_key)

        return self._database.write(work)

    def delete_all(self, owner: str) -> int:
        def work(connection: Connection) -> int:
            connection.execute(delete(idempotency_keys).where(idempotency_keys.c.owner == owner))
            deleted = connection.execute(delete(generations).where(generations.c.owner == owner)).rowcount
            connection.execute(delete(answers).where(~_shared()))
            return deleted

        return self._database.write(work)

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        left = and_(generations.c.status == Status.RUNNING.value, generations.c.created_ms < created_ms)
        status = Status.INTERRUPTED
        mark = update(generations).where(left).values(status=status.value, error=status.value, finished_ms=now_ms)

        def work(connection: Connection) -> int:
            for row in connection.execute(_WHOLE.where(left)):
                count(connection, replace(_generation(row), status=status, finished_ms=now_ms))
            return connection.execute(mark).rowcount

        return self._database.write(work)

    def check(self) -> None:
        self._database.check()

    def close(self) -> None:
        self._database.close()

    def _rows(self, query: Select[Any], limit: int, before: int | None, after: int | None = None) -> Sequence[Row[Any]]:
        position = generations.c.position
        if before is not None:
            query = query.where(position < before)
        if after is not None:
            query = query.where(position > after).order_by(position)
        else:
            query = query.order_by(position.desc())
        rows = self._database.read(lambda connection: connection.execute(query.limit(limit)).all())
        return rows[::-1] if after is not None else rows


def _count_outcome(connection: Connection, generation: Generation) -> None:
    """Add an outcome to the sums of usage, before it is stored.

    A row that was over before, as another process gave it up, was counted then. One that is gone is counted here: it was
    deleted while it ran.
    """
    mine = {"id": generation.request_id, "of": generation.owner}
    over = connection.execute(_OVER, mine).one_or_none()
    count(connection, generation, instead_of=_generation(over) if over else None)


def _shared() -> Any:
    """Whether any generation still points to an answer."""
    return exists().where(generations.c.answer_id == answers.c.answer_id)


def _texts(generation: Generation) -> dict[str, Any]:
    return {
        "answer_id": generation.answer_id,
        "input": generation.input,
        "parameters": json.dumps(dict(generation.parameters), ensure_ascii=False),
        "system_prompt": generation.prompts.system,
        "user_prompt": generation.prompts.user,
        "output": generation.output,
        "structured": generation.structured,
    }


def _row(generation: Generation) -> dict[str, Any]:
    usage = generation.usage
    return {
        "request_id": generation.request_id,
        "owner": generation.owner,
        "answer_id": generation.answer_id,
        "template_id": generation.template_id,
        "template_revision": generation.template_revision,
        "model": generation.model,
        "provider": generation.provider,
        "status": generation.status.value,
        "cached": generation.cached,
        "snippet": generation.snippet,
        "cache_key": generation.cache_key,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        **{f"billed_{name}": getattr(generation.billed, name) for name in _BILLED},
        "cost_picousd": to_pico(generation.cost_usd),
        "saved_picousd": to_pico(generation.saved_usd),
        "price_version": generation.price_version,
        "error": generation.error,
        "incomplete_reason": generation.incomplete_reason,
        "attempts": generation.attempts,
        "upstream_request_id": generation.upstream_request_id,
        "latency_ms": generation.latency_ms,
        "created_ms": generation.created_ms,
        "finished_ms": generation.finished_ms,
    }


def _outcome(generation: Generation) -> dict[str, Any]:
    outcome = {name: value for name, value in _row(generation).items() if name in _OUTCOME}
    return outcome | {"id": generation.request_id, "of": generation.owner}


def _generation(row: Row[Any]) -> Generation:
    values = dict(row._mapping)
    return Generation(
        **_summary_values(values),
        owner=values["owner"],
        answer_id=values["answer_id"],
        provider=values["provider"],
        input=values["input"],
        parameters=json.loads(values["parameters"]),
        prompts=Prompts(system=values["system_prompt"], user=values["user_prompt"]),
        output=values["output"],
        structured=bool(values["structured"]),
        incomplete_reason=values["incomplete_reason"],
        cache_key=values["cache_key"],
        billed=Usage(**{name: values[f"billed_{name}"] for name in _BILLED}),
        price_version=values["price_version"],
        attempts=values["attempts"],
        upstream_request_id=values["upstream_request_id"],
        finished_ms=values["finished_ms"],
    )


def _summary(values: Mapping[str, Any]) -> GenerationSummary:
    return GenerationSummary(**_summary_values(values))


def _summary_values(values: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("request_id", "template_id", "template_revision", "model", "snippet", "latency_ms", "created_ms", "error")
    return {
        **{name: values[name] for name in plain},
        "status": Status(values["status"]),
        "cached": bool(values["cached"]),
        "usage": Usage(**{name: values[name] for name in _USAGE}),
        "cost_usd": from_pico(values["cost_picousd"]),
        "saved_usd": from_pico(values["saved_picousd"]),
    }
