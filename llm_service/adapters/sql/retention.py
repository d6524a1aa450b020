"""Deletes generations in SQL, in batches, with the texts that no other row shares."""

from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, func, select

from llm_service.core.generation.model import Status

from . import answers as texts
from . import search_index
from .database import Database
from .tables import answers, generations

# A batch is so many rows, or fewer whose texts have this size: they are read to remove them from the index.
DELETE_BATCH = 100
DELETE_CHARS = 4 * 1024 * 1024
MERGE_PAGES = 500


class SqlRetention:
    """Satisfies `Retention`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete(self, owner: str, request_id: str) -> str | None:
        mine = texts.DELETED.where(generations.c.owner == owner, generations.c.request_id == request_id)
        rows = self._database.write(lambda connection: texts.delete_rows(connection, mine))
        return str(rows[0].cache_key) if rows else None

    def delete_all(self, owner: str) -> int:
        newest = select(func.max(generations.c.position)).where(generations.c.owner == owner)
        # Generations that start meanwhile are kept.
        last = self._database.read(lambda connection: connection.execute(newest).scalar_one())
        if last is None:
            return 0
        mine = texts.DELETED.where(generations.c.owner == owner, generations.c.position <= last)
        return self._delete_in_batches(mine.order_by(generations.c.position))

    def prune(self, before_ms: int) -> int:
        old = texts.DELETED.where(generations.c.created_ms < before_ms, generations.c.status != Status.RUNNING.value)
        return self._delete_in_batches(old.order_by(generations.c.created_ms))

    def scrub(self) -> None:
        # Deleted text stays in the index's older parts until they are merged. This merges all, in steps.
        pages = -MERGE_PAGES
        while self._database.write(partial(_merge, pages=pages)):
            pages = MERGE_PAGES
        self._database.scrub()

    def _delete_in_batches(self, query: Select[Any]) -> int:
        """Each batch is its own transaction, so nobody waits long."""
        deleted = 0
        # A batch may be found and be deleted by another process meanwhile: only one that finds nothing is the last.
        while (done := self._database.write(partial(_delete_some, query=query))) is not None:
            deleted += done
        return deleted


def _merge(connection: Connection, *, pages: int) -> bool:
    return search_index.of(connection).merge(connection, pages)


def _delete_some(connection: Connection, *, query: Select[Any]) -> int | None:
    """How many rows of a batch were deleted; None: there are none left."""
    chars = func.length(answers.c.input) + func.coalesce(func.length(answers.c.output), 0)
    sized = query.join(answers, answers.c.answer_id == generations.c.answer_id).add_columns(chars.label("chars"))
    ids: list[str] = []
    total = 0
    for row in connection.execute(sized.limit(DELETE_BATCH)):
        total += row.chars
        if ids and total > DELETE_CHARS:
            break
        ids.append(row.request_id)
    if not ids:
        return None
    return len(texts.delete_rows(connection, texts.DELETED.where(generations.c.request_id.in_(ids))))
