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
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Index,
    MetaData,
    Row,
    Select,
    SmallInteger,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR, insert

from llm_service.core.history.search import Search, Term, words_of

from ..compiled import Compiled
from ..tables import answers, generations
from ..windows import in_order, windows

# A lexeme has at most 2,046 bytes, and a vector fewer than 1 MiB.
LEXEME_CHARS = 500
BYTES_PER_CHAR = 4
VECTOR_BYTES = 1_000_000
# Up to this many documents are looked up individually. More are scanned in order; the first window has this width.
FEW_DOCUMENTS = 2000
FIRST_WINDOW = 4096
MAX_WINDOW = 262144
# With so many matches in a bucket, those of a long history need not be counted.
MANY_IN_BUCKET = 40
BUCKET_BITS = 12
# Texts are folded in pieces of about this size, and other requests run in between.
FOLDED_CHARS = 16 * 1024
# In each part of a document of several parts.
_PARTED = "#parted"

documents = Table(
    "search_documents",
    MetaData(),
    Column("document", BigInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False, comment="more than 0 if a vector is too small"),
    Column("words", Text, nullable=False, comment="in their order, with blanks around each; all are in part 0"),
    Column("vector", TSVECTOR, nullable=False, comment="distinct words, owner and bucket"),
)
# Without a list of pending entries, which every search would have to read, and an unlucky answer to merge.
Index("ix_search_documents_vector", documents.c.vector, postgresql_using="gin", postgresql_with={"fastupdate": "off"})

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
    place = [_owner_lexeme(owner), _bucket_lexeme(document >> BUCKET_BITS)]
    words = list({word[:LEXEME_CHARS] for words in texts for word in words})
    if sum(map(len, words)) * BYTES_PER_CHAR <= VECTOR_BYTES:
        yield [*place, *words]
        return
    place.append(_PARTED)
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
    for number, (low, high) in enumerate(
        windows(connection, first_window or FIRST_WINDOW, before, after, stop, MAX_WINDOW)
    ):
        within = mine.where(_position > low, _position < high)
        buckets = connection.execute(within.where(_document.is_not(None)).with_only_columns(_bucket).distinct())
        near = buckets.scalars().all()
        found = connection.execute(_exactly(owner, search, near)).scalars().all() if near else ()
        if found:
            fitting = within.where(_is_any(_document, found)).order_by(_position.desc() if after is None else _position)
            rows.extend(connection.execute(fitting.limit(limit - len(rows))).all())
        if len(rows) == limit:
            break
        if number == 0 and len(found) < len(near) * MANY_IN_BUCKET and _are_few(connection, owner, search, few):
            every = _sharing(mine, connection.execute(_exactly(owner, search)).scalars().all())
            return connection.execute(in_order(every, _position + 0, before, after).limit(limit)).all()
    return rows


def _are_few(connection: Connection, owner: str, search: Search, few: int) -> bool:
    """Whether the index alone finds so few documents."""
    found = union_all(_whole(owner, search), _parted(owner, search)).limit(few + 1).subquery()
    return connection.execute(select(func.count()).select_from(found)).scalar_one() <= few


def _sharing(query: Select[Any], found: Collection[int]) -> Select[Any]:
    """All rows that share the documents."""
    return query.where(
        generations.c.answer_id.in_(select(answers.c.answer_id).where(_is_any(answers.c.document, found)))
    )


def _exactly(owner: str, search: Search, buckets: Collection[int] = ()) -> CompoundSelect[Any]:
    """The documents that match, of all buckets or of these."""
    open_terms = Search(*(tuple(filter(_needs_check, terms)) for terms in (search.wanted, search.unwanted)))
    whole = _whole(owner, search, buckets).where(*_conditions(open_terms))
    # The first part has all words.
    parted = select(documents.c.document).where(
        documents.c.part == 0, documents.c.document.in_(_parted(owner, search, buckets)), *_conditions(search)
    )
    return union_all(whole, parted)


def _whole(owner: str, search: Search, buckets: Collection[int] = ()) -> Select[Any]:
    """Documents of one part that the index finds."""
    return _indexed(owner, buckets, f"!{_quoted(_PARTED)}", *_expressions(search))


def _parted(owner: str, search: Search, buckets: Collection[int] = ()) -> Select[Any]:
    """Documents of several parts that may match. Each part has only some of the words."""
    return _indexed(owner, buckets, _quoted(_PARTED), *_longest_word(search))


def _indexed(owner: str, buckets: Collection[int], *expressions: str) -> Select[Any]:
    place = [_quoted(_owner_lexeme(owner))]
    if buckets:
        place.append(f"({' | '.join(_quoted(_bucket_lexeme(bucket)) for bucket in buckets)})")
    expression = cast(literal(" & ".join((*place, *expressions)), Text), TSQUERY)
    return select(documents.c.document).where(documents.c.vector.op("@@", is_comparison=True)(expression))


def _conditions(search: Search) -> Iterator[ColumnElement[bool]]:
    """For the words of a document. No escapes: nothing of a pattern is in a word."""
    for term in search.wanted:
        yield _place_of(term) > 0
    for term in search.unwanted:
        yield _place_of(term) == 0


def _place_of(term: Term) -> ColumnElement[int]:
    # `strpos` reads a long text faster than LIKE does.
    return func.strpos(documents.c.words, f" {' '.join(term.words)}" + ("" if term.is_prefix else " "))


def _expressions(search: Search) -> Iterator[str]:
    """For documents of one part: all of it, except for the terms that need a check."""
    for term in search.wanted:
        for number, word in enumerate(term.words):
            yield _word(word, is_prefix=term.is_prefix and number == len(term.words) - 1)
    for term in search.unwanted:
        if not _needs_check(term):
            yield f"!{_word(term.words[0], is_prefix=term.is_prefix)}"


def _longest_word(search: Search) -> Iterator[str]:
    """The one that is probably the rarest."""
    words = [
        (word, term.is_prefix and number == len(term.words) - 1)
        for term in search.wanted
        for number, word in enumerate(term.words)
    ]
    if words:
        word, is_prefix = max(words, key=lambda item: len(item[0]))
        yield _word(word, is_prefix=is_prefix)


def _needs_check(term: Term) -> bool:
    return len(term.words) > 1 or len(term.words[0]) >= LEXEME_CHARS


def _word(word: str, *, is_prefix: bool) -> str:
    return _quoted(word[:LEXEME_CHARS]) + (":*" if is_prefix and len(word) < LEXEME_CHARS else "")


def _quoted(lexeme: str) -> str:
    """Lexemes are letters and digits, and ours have no quotes, so quotes are enough to escape them."""
    return f"'{lexeme}'"


def _owner_lexeme(owner: str) -> str:
    return f"@{owner.encode().hex()}"


def _bucket_lexeme(bucket: int) -> str:
    return f"#{bucket}"


def _is_any(column: ColumnElement[int], values: Collection[int]) -> ColumnElement[bool]:
    # The type of the column: PostgreSQL hashes the values only then.
    return column == any_(cast(list(values), ARRAY(BigInteger)))


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
