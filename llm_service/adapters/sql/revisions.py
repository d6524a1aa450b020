"""The sources of used template revisions. Values from callers are always bound parameters."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, bindparam, select

from llm_service.core.templates.model import StoredRevision, UsedRevision

from .database import Database
from .tables import template_revisions
from .upsert import insert

_columns = template_revisions.c
_ADD = insert(template_revisions).on_conflict_do_nothing()
_USED: Select[Any] = select(_columns.template_id, _columns.revision, _columns.first_used_ms).order_by(
    _columns.first_used_ms.desc(), _columns.template_id, _columns.revision
)
_SOURCE = select(_columns.source).where(
    _columns.template_id == bindparam("id"), _columns.revision == bindparam("of_revision")
)


class SqlRevisions:
    """Satisfies `RevisionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, revision: StoredRevision) -> None:
        row = asdict(revision)
        self._database.write(lambda connection: connection.execute(_ADD, row), durable=False, short=True, wait_s=0)

    def used(self, template_id: str | None) -> Sequence[UsedRevision]:
        query = _USED if template_id is None else _USED.where(_columns.template_id == template_id)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [UsedRevision(row.template_id, row.revision, row.first_used_ms) for row in rows]

    def source(self, template_id: str, revision: str) -> str | None:
        values = {"id": template_id, "of_revision": revision}
        return self._database.read(lambda connection: connection.execute(_SOURCE, values).scalar_one_or_none())
