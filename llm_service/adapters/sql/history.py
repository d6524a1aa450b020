"""The history of generations in SQL."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from llm_service.core.generation.model import Generation, GenerationSummary, IdempotencyKey, KeyHolder, Status
from llm_service.core.history.model import EVERYTHING, Filters
from llm_service.core.history.search import Search, excerpt
from llm_service.core.limits.rules import Reservation, ReservationResult
from llm_service.core.messages import Prompts
from llm_service.core.usage.tokens import Usage

from . import answers as texts
from . import idempotency
from . import paging as lists
from .money import from_pico, to_pico
from .reservations import take
from .sqlite.database import Database
from .sqlite.full_text import FEW_DOCUMENTS, FIRST_WINDOW, merge
from .sqlite.group_writer import InsertRow
from .tables import answers, generations, idempotency_keys
from .usage_ledger import count

EXPORT_BATCH = 200
DELETE_BATCH = 100
MERGE_PAGES = 500

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
_LIST = select(generations.c.position, generations.c.answer_id, *(generations.c[name] for name in _SUMMARY))
_WHOLE = select(
    generations,
    answers.c.input, answers.c.parameters, answers.c.system_prompt, answers.c.user_prompt, answers.c.output,
    answers.c.structured,
).join(answers, answers.c.answer_id == generations.c.answer_id)  # fmt: skip
_INSERT_ANSWER = insert(answers)
# A row that shares texts which are indexed already is found with them.
_others = generations.alias()
_INSERT_GENERATION = insert(generations).values(
    document=select(_others.c.document).where(_others.c.answer_id == bindparam("shares")).limit(1).scalar_subquery()
)
_FINISH = (
    update(generations)
    .where(generations.c.request_id == bindparam("id"), generations.c.owner == bindparam("of"))
    .values({name: bindparam(name) for name in _OUTCOME})
)
_SET_OUTPUT = update(answers).where(answers.c.answer_id == bindparam("id")).values(output=bindparam("output"))
_MOVE = (
    update(generations)
    .where(generations.c.request_id == bindparam("id"), generations.c.owner == bindparam("of"))
    .values(answer_id=bindparam("to"), document=None)
)
_OVER = _WHOLE.where(
    generations.c.request_id == bindparam("id"),
    generations.c.owner == bindparam("of"),
    generations.c.finished_ms.is_not(None),
)
_UNFINISHED = generations.c.finished_ms.is_(None)
_LEFT = _WHOLE.where(_UNFINISHED, generations.c.created_ms < bindparam("before"))
_ANSWERED = (Status.COMPLETED, Status.INCOMPLETE)


class SqlHistory:
    """Satisfies `HistoryStore`."""

    def __init__(
        self,
        database: Database,
        *,
        keeps_texts: bool = True,
        few_documents: int = FEW_DOCUMENTS,
        first_window: int = FIRST_WINDOW,
    ) -> None:
        """`few_documents`: up to so many found texts are looked up one by one; more are walked through in order, in
        windows of positions of which the first is `first_window` wide.
        """
        self._database = database
        self._kept: Callable[[Generation], Generation] = _whole if keeps_texts else Generation.without_texts
        self._listed = partial(lists.rows, few_documents=few_documents, first_window=first_window)

    def start(self, generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        kept = self._kept(generation)
        row, answer = _row(kept), _answer(kept)

        def work(connection: Connection) -> ReservationResult | None:
            taken = take(connection, hold) if hold else None
            if taken and taken.refused:
                return taken
            connection.execute(_INSERT_ANSWER, answer)
            connection.execute(_INSERT_GENERATION, row)
            count(connection, generation)
            if kept.status is not Status.RUNNING:
                texts.index(connection, kept)
            return taken

        return self._database.write(work)

    def finish(self, generation: Generation) -> bool:
        generation = self._kept(generation)
        outcome = _outcome(generation)
        output = {"id": generation.answer_id, "output": generation.output}
        owns = generation.answer_id == generation.request_id

        def work(connection: Connection) -> bool:
            _count_outcome(connection, generation)
            if not connection.execute(_FINISH, outcome).rowcount:
                return False
            # Texts that others share have the whole answer or none.
            if owns or (generation.status in _ANSWERED and texts.lack_output(connection, generation.answer_id)):
                document = texts.unindex(connection, generation.owner, generation.answer_id)
                connection.execute(_SET_OUTPUT, output)
                texts.index(connection, generation, document)
            return True

        return self._database.write(work)

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        generation = self._kept(generation)
        outcome, answer = _outcome(generation), _answer(replace(generation, answer_id=answer_id))
        move = {"id": generation.request_id, "of": generation.owner, "to": answer_id}

        def work(connection: Connection) -> bool:
            _count_outcome(connection, generation, settles=False)
            if not connection.execute(_FINISH, outcome).rowcount:
                return False
            connection.execute(_INSERT_ANSWER, answer)
            connection.execute(_MOVE, move)
            texts.index(connection, replace(generation, answer_id=answer_id))
            texts.delete_unshared(connection, generation.owner, [generation.answer_id])
            return True

        return self._database.write(work)

    def bill_late(self, was: Generation, now: Generation) -> None:
        outcome = _outcome(now)

        def work(connection: Connection) -> None:
            count(connection, now, instead_of=was)
            connection.execute(_FINISH, outcome)

        self._database.write(work)

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        kept = self._kept(generation)
        row = _row(kept)
        if generation.answer_id == answer_id:
            try:
                self._database.write(InsertRow(_INSERT_GENERATION, row, partial(count, generation=generation)))
            except IntegrityError:
                return False
            return True

        def work(connection: Connection) -> bool:
            if not texts.are_there(connection, answer_id):
                return False
            connection.execute(_INSERT_ANSWER, _answer(kept))
            connection.execute(_INSERT_GENERATION, row)
            count(connection, generation)
            texts.index(connection, kept)
            return True

        return self._database.write(work)

    def record_shared(self, generation: Generation) -> Generation:
        if generation.answer_id == generation.request_id:
            self.start(generation)
            return generation
        row = _row(self._kept(generation))
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
        query = select(generations.c.request_id).where(_UNFINISHED, generations.c.status == Status.RUNNING.value)
        return self._database.read(lambda connection: set(connection.execute(query).scalars()))

    def get(self, owner: str, request_id: str) -> Generation | None:
        query = _WHOLE.where(generations.c.owner == owner, generations.c.request_id == request_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _generation(row)

    def owner_of(self, request_id: str) -> str | None:
        query = select(generations.c.owner).where(generations.c.request_id == request_id)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        def work(connection: Connection) -> tuple[Sequence[Row[Any]], dict[str, list[str]]]:
            rows = self._listed(connection, _LIST, owner, filters, limit, before, after)
            return rows, lists.beginnings(connection, rows) if filters.search else {}

        rows, beginnings = self._database.read(work)
        return [(row.position, _summary(row, filters.search, beginnings.get(row.answer_id, ()))) for row in rows]

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        # Page by page: no transaction stays open while a slow reader takes its time.
        before: int | None = None
        while True:
            batch = partial(self._listed, query=_WHOLE, owner=owner, filters=filters, limit=EXPORT_BATCH, before=before)
            rows = self._database.read(batch)
            yield from map(_generation, rows)
            if len(rows) < EXPORT_BATCH:
                return
            before = rows[-1].position

    def delete(self, owner: str, request_id: str) -> str | None:
        mine = texts.GOING.where(generations.c.owner == owner, generations.c.request_id == request_id)
        rows = self._database.write(lambda connection: texts.delete_rows(connection, mine))
        return str(rows[0].cache_key) if rows else None

    def delete_all(self, owner: str) -> int:
        newest = self.newest(owner, 1)
        if not newest:
            return 0
        # What begins meanwhile is not meant.
        last, _ = newest[0]
        mine = texts.GOING.where(generations.c.owner == owner, generations.c.position <= last)
        return self._delete_in_batches(mine.order_by(generations.c.position))

    def prune(self, before_ms: int) -> int:
        old = texts.GOING.where(generations.c.created_ms < before_ms, generations.c.status != Status.RUNNING.value)
        return self._delete_in_batches(old.order_by(generations.c.created_ms))

    def _delete_in_batches(self, query: Select[Any]) -> int:
        """Each batch is a transaction of its own, so that nobody waits for long."""
        deleted = 0
        while rows := self._database.write(lambda connection: texts.delete_rows(connection, query.limit(DELETE_BATCH))):
            deleted += len(rows)
        return deleted

    def scrub(self) -> None:
        # What was deleted stays in the index's older parts until they are merged: here to the end, step by step.
        pages = -MERGE_PAGES
        while self._database.write(partial(merge, pages=pages)):
            pages = MERGE_PAGES
        self._database.truncate_log()

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        def work(connection: Connection) -> int:
            rows = [_generation(row) for row in connection.execute(_LEFT, {"before": created_ms})]
            for row in rows:
                # Who was asked to cancel it may have died before it did.
                status = Status.INTERRUPTED if row.status is Status.RUNNING else row.status
                over = replace(row, status=status, error=status.value, finished_ms=now_ms)
                connection.execute(_FINISH, _outcome(over))
                count(connection, over)
                texts.index_once(connection, row)
            return len(rows)

        return self._database.write(work)

    def check(self) -> None:
        self._database.check()

    def close(self) -> None:
        self._database.close()


def _whole(generation: Generation) -> Generation:
    return generation


def _count_outcome(connection: Connection, generation: Generation, *, settles: bool = True) -> None:
    """Add an outcome to the sums of usage, before it is stored.

    A row that was over before, as another process gave it up, was counted then. One that is gone is counted here: it was
    deleted while it ran.
    """
    mine = {"id": generation.request_id, "of": generation.owner}
    over = connection.execute(_OVER, mine).one_or_none()
    count(connection, generation, instead_of=_generation(over) if over else None, settles=settles)


def _answer(generation: Generation) -> dict[str, Any]:
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
        "shares": generation.answer_id,
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


def _summary(row: Row[Any], search: Search | None, texts: Sequence[str]) -> GenerationSummary:
    match = excerpt(search, texts) if search else None
    return GenerationSummary(**_summary_values(dict(row._mapping)), match=match)


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
