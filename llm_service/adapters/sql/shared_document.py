"""The document of the texts that a row shares, as an expression of SQL for its insertion."""

from typing import Any

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from .tables import answers, generations

# A row that shares indexed texts gets their document, so searches find it too.
_others = generations.alias()
_document = select(_others.c.document).where(_others.c.answer_id == bindparam("shares")).limit(1).scalar_subquery()
# The answer may be indexed right now: this waits for it, and the lock makes the one that indexes it find this row.
_locked_document = (
    select(answers.c.document)
    .where(answers.c.answer_id == bindparam("shares"))
    .with_for_update(read=True)
    .scalar_subquery()
)


class SharedDocument(ColumnElement[int]):
    """The document of the texts that a row shares. SQLite need not read past long texts for it."""

    inherit_cache = True


@compiles(SharedDocument)
def _from_rows(_element: SharedDocument, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(_document, **kw)


@compiles(SharedDocument, "postgresql")
def _from_answer(_element: SharedDocument, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(_locked_document, **kw)
