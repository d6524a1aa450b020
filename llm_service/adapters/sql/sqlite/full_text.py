"""SQLite's full-text index (FTS5), and searches in it.

Each answer's texts are one document, and the index stores no copy of them. `core.history.search` folds the words,
so FTS5 has nothing to decide. A document's number is the position of the generation that completed it, so the newest
documents are the newest generations: FTS5, read from the highest number down, can stop when a page is full. Each
document contains its owner as a word, so a search skips other owners' texts.

Cache hits and joined calls share a document and have their own positions, mostly shortly after it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    String,
    and_,
    column,
    func,
    literal_column,
    select,
    table,
    text,
)

from llm_service.core.history.search import Search, Term, spaced_words

from ..compiled import Compiled
from ..group_writer import at_the_end
from ..tables import answers, generations
from ..windows import in_order, windows

_CREATE = text(
    "CREATE VIRTUAL TABLE search_index USING fts5("
    "owner, input, output, content='', columnsize=0, prefix='3', tokenize='ascii')"
)
# Up to this many documents are looked up individually. More are scanned in order; the first window has this width.
FEW_DOCUMENTS = 5000
FIRST_WINDOW = 4000

_index = table("search_index", column("rowid"), column("search_index"))
_WRITE = Compiled(
    text("INSERT INTO search_index (rowid, owner, input, output) VALUES (:document, :owner, :input, :output)")
)
_REMOVE = text(
    "INSERT INTO search_index (search_index, rowid, owner, input, output) "
    "VALUES ('delete', :document, :owner, :input, :output)"
)
_position = generations.c.position
_document = generations.c.document
# The + keeps SQLite from using an index on the column. With one, it would scan the whole history for a rare word.
_fetched_owner: ColumnClause[Any] = literal_column("+generations.owner", String)
_fetched_position: ColumnClause[int] = literal_column("+generations.position", Integer)


def create(connection: Connection) -> None:
    """Create the empty index."""
    connection.execute(_CREATE)


def write(connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
    """Index final texts, at the end of the transaction."""
    at_the_end(connection, lambda last: _WRITE.execute(last, _values(document, owner, input, output)))


def remove(connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
    """Remove a document, at the end of the transaction; the texts must be those that were written."""
    at_the_end(connection, lambda last: last.execute(_REMOVE, _values(document, owner, input, output)))


def merge(connection: Connection, pages: int) -> bool:
    """Merge this many pages of the index's parts (negative: of all parts); whether there is more to merge."""
    before = connection.execute(text("SELECT total_changes()")).scalar_one()
    connection.execute(text("INSERT INTO search_index (search_index, rank) VALUES ('merge', :pages)"), {"pages": pages})
    # FTS5 changes one row even when nothing is left.
    return bool(connection.execute(text("SELECT total_changes()")).scalar_one() - before >= 2)


def matching_rows(
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
    found, few = _documents(owner, search), FEW_DOCUMENTS if few_documents is None else few_documents
    count = connection.execute(select(func.count()).select_from(found.limit(few + 1).subquery())).scalar_one()
    if count <= few:
        all_rows = _rows_of(query.where(_fetched_owner == owner), found)
        return connection.execute(in_order(all_rows, _fetched_position, before, after).limit(limit)).all()
    rows: list[Row[Any]] = []
    for low, high in windows(connection, first_window or FIRST_WINDOW, before, after, stop):
        within = _rows_within(
            connection, query, owner, search, limit - len(rows), low, high, newest_first=after is None
        )
        rows.extend(within)
        if len(rows) == limit:
            break
    return rows


def _rows_within(
    connection: Connection,
    query: Select[Any],
    owner: str,
    search: Search,
    limit: int,
    low: int,
    high: int,
    *,
    newest_first: bool,
) -> Sequence[Row[Any]]:
    makers = query.select_from(_index.join(generations, _position == _index.c.rowid)).where(
        _matches(owner, search), _fetched_owner == owner, _index.c.rowid > low, _index.c.rowid < high
    )
    made = connection.execute(_directed(makers, _index.c.rowid, newest_first).limit(limit)).all()
    if len(made) == limit:
        # The page is full: only sharers within its range matter.
        low, high = (made[-1].position, high) if newest_first else (low, made[-1].position)
    window = (_position > low, _position < high)
    shared = _sharers(connection, query, owner, _documents(owner, search), window)
    if shared is None:
        return made
    both = connection.execute(_directed(shared, _position, newest_first).limit(limit)).all()
    return sorted([*made, *both], key=lambda row: row.position, reverse=newest_first)[:limit]


def _directed(query: Select[Any], place: ColumnElement[int], newest_first: bool) -> Select[Any]:
    return query.order_by(place.desc() if newest_first else place)


def _rows_of(query: Select[Any], found: Select[Any]) -> Select[Any]:
    """All rows that share the documents."""
    sharing = generations.alias()
    positions = (
        select(sharing.c.position)
        .join(answers, answers.c.answer_id == sharing.c.answer_id)
        .where(answers.c.document.in_(found))
    )
    return query.where(_position.in_(positions))


def _sharers(
    connection: Connection, query: Select[Any], owner: str, found: Select[Any], window: Sequence[ColumnElement[bool]]
) -> Select[Any] | None:
    """Rows of the window whose document another row completed; None if there are none."""
    shares = and_(generations.c.owner == owner, _document != _position, *window)
    lowest, highest = connection.execute(select(func.min(_document), func.max(_document)).where(shares)).one()
    if lowest is None:
        return None
    near = found.where(_index.c.rowid >= lowest, _index.c.rowid <= highest)
    return query.where(shares, _document.in_(near))


def _documents(owner: str, search: Search) -> Select[Any]:
    return select(_index.c.rowid).where(_matches(owner, search))


def _matches(owner: str, search: Search) -> ColumnElement[bool]:
    return _index.c.search_index.op("MATCH", is_comparison=True)(expression(owner, search))


def expression(owner: str, search: Search) -> str:
    """The search in FTS5's query language. Words are only letters and digits, so quotes are enough to escape them."""
    wanted = [f'owner : "{owner_word(owner)}"', *(f"{{input output}} : {_term(term)}" for term in search.wanted)]
    unwanted = "".join(f" NOT ({{input output}} : {_term(term)})" for term in search.unwanted)
    return f"({' AND '.join(wanted)}){unwanted}"


def _term(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + (" *" if term.is_prefix else "")


def owner_word(owner: str) -> str:
    return owner.encode().hex()


def _values(document: int, owner: str, input: str, output: str | None) -> dict[str, Any]:
    return {
        "document": document,
        "owner": owner_word(owner),
        "input": spaced_words(input),
        "output": spaced_words(output or ""),
    }
