"""PostgreSQL's full-text index (GIN), and searches in it.

Each answer's texts are one document, as in SQLite's index, under the same number: the position of the generation that
completed it. `core.history.search` folds the words. A document is stored twice. `vector` has its distinct words, and only
the index reads it. `words` has all words in their order, and what the index cannot decide is decided there: phrases, very
long words, and documents that are too large for one vector.

A vector also has lexemes that no word can equal: the document's owner, so that a search skips other owners' texts, and its
bucket, which is a range of document numbers. With these the index finds the matches of a range without reading those of
the whole history, so a page of the newest matches costs the same in a history of any size.

See docs/decisions/0066-words-are-stored-twice-on-postgresql.md and 0067-buckets-in-the-index.md.
"""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, bindparam, cast, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from llm_service.core.history.search import Search, words_of

from ..compiled import Compiled
from ..tables import answers, generations
from ..windows import in_order, windows
from .connections import UNHURRIED_S, driver_of
from .search_documents import (
    BUCKET_BITS,
    LEXEME_CHARS,
    PARTED,
    bucket_lexeme,
    candidates,
    documents,
    is_any,
    matching,
    owner_lexeme,
    vector_index,
)

# A character has at most so many bytes, and a vector fewer than 1 MiB.
BYTES_PER_CHAR = 4
VECTOR_BYTES = 1_000_000
# Up to this many documents are looked up individually. More are scanned in order; the first window has this width.
FEW_DOCUMENTS = 2000
FIRST_WINDOW = 4096
MAX_WINDOW = 262144
# With so many matches in a bucket, those of a long history need not be counted.
MANY_IN_BUCKET = 40
# Texts are folded in pieces of about this size, and other requests run in between.
FOLDED_CHARS = 16 * 1024
BUILD_MEMORY = "256MB"

_stored = insert(documents).values(
    document=bindparam("document"),
    part=bindparam("part"),
    words=bindparam("words"),
    vector=func.array_to_tsvector(func.string_to_array(cast(bindparam("lexemes"), Text), " ")),
)
_WRITE = Compiled(
    _stored.on_conflict_do_update(
        index_elements=[documents.c.document, documents.c.part],
        set_={"words": _stored.excluded.words, "vector": _stored.excluded.vector},
    )
)
_REMOVE = Compiled(delete(documents).where(documents.c.document == bindparam("document")))
_SPACE = re.compile(r"\s")
_position = generations.c.position
_document = generations.c.document
_bucket = _document.op(">>")(literal_column(str(BUCKET_BITS)))


def create(connection: Connection) -> None:
    """Create the empty index."""
    documents.create(connection)


@contextmanager
def built_at_the_end(connection: Connection) -> Iterator[None]:
    """For many documents in one transaction: to build the index of all takes a fraction of the time of adding each."""
    vector_index.drop(connection)
    yield
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = 0; SET LOCAL maintenance_work_mem = '{BUILD_MEMORY}'")
    driver_of(connection).silence_s = UNHURRIED_S
    vector_index.create(connection)


def write(connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
    """Index final texts."""
    texts = _words_of(input), _words_of(output or "")
    for number, lexemes in enumerate(lexemes_of(document, owner, *texts)):
        words = "" if number else text_of(*texts)
        row = {"document": document, "part": number, "words": words, "lexemes": " ".join(lexemes)}
        _WRITE.execute(connection, row)


def text_of(input: Sequence[str], output: Sequence[str]) -> str:
    """The words of a document, as they are stored."""
    # No word is a slash, so no phrase reaches from the input into the output.
    return f" {' '.join(input)} / {' '.join(output)} "


def lexemes_of(document: int, owner: str, *texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The lexemes of each part."""
    place = [owner_lexeme(owner), bucket_lexeme(document >> BUCKET_BITS)]
    words = list({word[:LEXEME_CHARS] for words in texts for word in words})
    if sum(map(len, words)) * BYTES_PER_CHAR <= VECTOR_BYTES:
        yield [*place, *words]
        return
    place.append(PARTED)
    part, size = list[str](), 0
    for word in words:
        size += len(word) * BYTES_PER_CHAR
        if size > VECTOR_BYTES:
            yield [*place, *part]
            time.sleep(0)  # lets other requests run
            part, size = [], len(word) * BYTES_PER_CHAR
        part.append(word)
    yield [*place, *part]


def remove(connection: Connection, document: int, owner: str, input: str, output: str | None) -> None:
    """Remove a document. The index has its words, so the texts are not needed."""
    _REMOVE.execute(connection, {"document": document})


def merge(connection: Connection, pages: int) -> bool:
    """False: this index has no parts. `Database.scrub` cleans it."""
    return False


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
    """As SQLite's. The newest window is looked at first: it fills the page unless the search or a filter is rare."""
    # The planner knows nothing of how owners and words go together. Were it to expect many matches where there are few, it
    # would read the whole table for them.
    connection.execute(select(func.set_config("enable_seqscan", "off", True)))
    few = FEW_DOCUMENTS if few_documents is None else few_documents
    mine = query.where(generations.c.owner == owner)
    rows: list[Row[Any]] = []
    is_counted = False
    for low, high in windows(connection, first_window or FIRST_WINDOW, before, after, stop, MAX_WINDOW):
        within = mine.where(_position > low, _position < high)
        buckets = connection.execute(within.where(_document.is_not(None)).with_only_columns(_bucket).distinct())
        near = buckets.scalars().all()
        if not near:
            continue
        found = connection.execute(matching(owner, search, near)).scalars().all()
        fitting = within.where(is_any(_document, found)).order_by(_position.desc() if after is None else _position)
        rows.extend(connection.execute(fitting.limit(limit - len(rows))).all())
        if len(rows) == limit:
            break
        if not is_counted and len(found) <= len(near) * MANY_IN_BUCKET and _are_few(connection, owner, search, few):
            every = _sharing(mine, connection.execute(matching(owner, search)).scalars().all())
            return connection.execute(in_order(every, _position + 0, before, after).limit(limit)).all()
        is_counted = True
    return rows


def _are_few(connection: Connection, owner: str, search: Search, few: int) -> bool:
    found = candidates(owner, search).limit(few + 1).subquery()
    return connection.execute(select(func.count()).select_from(found)).scalar_one() <= few


def _sharing(query: Select[Any], found: Collection[int]) -> Select[Any]:
    """All rows that share the documents."""
    return query.where(
        generations.c.answer_id.in_(select(answers.c.answer_id).where(is_any(answers.c.document, found)))
    )


def _words_of(text: str) -> list[str]:
    words: list[str] = []
    start = 0
    while start < len(text):
        space = _SPACE.search(text, start + FOLDED_CHARS)
        end = len(text) if space is None else space.end()
        words += words_of(text[start:end])
        if end < len(text):
            time.sleep(0)  # lets other requests run
        start = end
    return words
