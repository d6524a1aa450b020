"""The search index of the database that a connection leads to. Both engines find the same rows for every search."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Select

from llm_service.core.history.search import Search

from .sqlite import full_text as sqlite_full_text


class SearchEngine(Protocol):
    """What `sqlite.full_text` and `postgres.full_text` have."""

    def create(self, connection: Connection) -> None:
        """Create the empty index."""
        ...

    def write(self, connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
        """Index final texts. No text is refused."""
        ...

    def remove(self, connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
        """Remove a document; the texts must be those that were written."""
        ...

    def merge(self, connection: Connection, pages: int) -> bool:
        """Merge this many pages of the index's parts (negative: of all parts), which may have deleted text; whether there is
        more to merge.
        """
        ...

    def matching_rows(
        self,
        connection: Connection,
        query: Select[Any],
        owner: str,
        search: Search,
        limit: int,
        *,
        few_documents: int | None,
        first_window: int | None,
        before: int | None,
        after: int | None,
        stop: int | None = None,
    ) -> Sequence[Row[Any]]:
        """The rows of `query` whose texts match: the newest before a position, or the oldest after one, in that order.

        `query` selects from generations, including the position, and has all conditions except the owner. Up to
        `few_documents` matches are looked up individually. More are scanned in order, in windows of positions; the first is
        `first_window` wide. No windows are read beyond `stop`.
        """
        ...


def of(connection: Connection) -> SearchEngine:
    if connection.dialect.name == "sqlite":
        return sqlite_full_text
    # Only here: a service with SQLite starts without PostgreSQL's part of SQLAlchemy.
    from .postgres import full_text

    return full_text
