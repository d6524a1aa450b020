"""The table of PostgreSQL's full-text index, and which of its documents match a search.

What the index cannot decide, or only at a high price, is decided on the words: phrases, cut words, and the terms beyond a few that cost much.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    CompoundSelect,
    Index,
    MetaData,
    Select,
    SmallInteger,
    Table,
    Text,
    any_,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from llm_service.core.history.search import Search, Term

# A lexeme has at most 2,046 bytes.
LEXEME_CHARS = 500
BUCKET_BITS = 12
# For a prefix, the index reads all places of all its words; for an excluded word, those near to every document.
INDEXED_PREFIXES = 2
INDEXED_EXCLUSIONS = 4
# In each part of a document of several parts.
PARTED = "#parted"

documents = Table(
    "search_documents",
    MetaData(),
    Column("document", BigInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False, comment="more than 0 if a vector is too small"),
    Column("words", Text, nullable=False, comment="in their order, with blanks around each; all are in part 0"),
    Column("vector", TSVECTOR, nullable=False, comment="distinct words, owner and bucket"),
)
# Without a list of pending entries, which every search would have to read, and an unlucky answer to merge.
vector_index = Index(
    "ix_search_documents_vector", documents.c.vector, postgresql_using="gin", postgresql_with={"fastupdate": "off"}
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """`words` and `excluded` are for the index, as expressions; `checked` are the terms that the words decide."""

    words: Sequence[str]
    excluded: Sequence[str]
    checked: Search


def matching(owner: str, search: Search, buckets: Collection[int] = ()) -> CompoundSelect[Any]:
    """The documents that match, of all buckets or of these."""
    plan = _planned(search)
    whole = _whole(owner, plan, buckets).where(*_conditions(plan.checked))
    # As an array, so that they are looked up one by one. The planner expects far too many of them.
    candidates = func.array(_parted(owner, plan, buckets).scalar_subquery(), type_=ARRAY(BigInteger))
    # The first part has all words.
    parted = select(documents.c.document).where(
        documents.c.document == any_(candidates), documents.c.part == 0, *_conditions(search)
    )
    return union_all(whole, parted)


def candidates(owner: str, search: Search) -> CompoundSelect[Any]:
    """The documents that match as far as the index knows."""
    plan = _planned(search)
    return union_all(_whole(owner, plan), _parted(owner, plan))


def is_any(column: ColumnElement[int], values: Collection[int]) -> ColumnElement[bool]:
    # The type of the column: PostgreSQL hashes the values only then.
    return column == any_(cast(list(values), ARRAY(BigInteger)))


def owner_lexeme(owner: str) -> str:
    return f"@{owner.encode().hex()}"


def bucket_lexeme(bucket: int) -> str:
    return f"#{bucket}"


def _planned(search: Search) -> _Plan:
    prefixes = sorted((term for term in search.wanted if term.is_prefix), key=lambda term: len(term.words[-1]))
    unindexed = prefixes[:-INDEXED_PREFIXES]
    words = [
        _expression(word, is_prefix=is_prefix)
        for term in search.wanted
        for word, is_prefix in _with_prefix(term)
        if not (is_prefix and term in unindexed)
    ]
    exact = [term for term in search.unwanted if not _needs_check(term) and not term.is_prefix][:INDEXED_EXCLUSIONS]
    checked = Search(
        tuple(term for term in search.wanted if _needs_check(term) or term in unindexed),
        tuple(term for term in search.unwanted if term not in exact),
    )
    return _Plan(words, [_expression(term.words[0]) for term in exact], checked)


def _with_prefix(term: Term) -> Iterator[tuple[str, bool]]:
    *whole, last = term.words
    yield from ((word, False) for word in whole)
    yield last, term.is_prefix


def _needs_check(term: Term) -> bool:
    """A phrase, or a word that is cut in the index."""
    return len(term.words) > 1 or len(term.words[0]) >= LEXEME_CHARS


def _whole(owner: str, plan: _Plan, buckets: Collection[int] = ()) -> Select[Any]:
    """Documents of one part that the index finds."""
    mine = " & !".join((_quoted(owner_lexeme(owner)), _quoted(PARTED), *plan.excluded))
    return _indexed(buckets, *plan.words, mine)


def _parted(owner: str, plan: _Plan, buckets: Collection[int] = ()) -> Select[Any]:
    """Documents of several parts that may match: each part has only some of the words."""
    longest = sorted(plan.words, key=len)[-1:]  # probably the rarest
    return _indexed(buckets, *longest, _quoted(PARTED), _quoted(owner_lexeme(owner)))


def _indexed(buckets: Collection[int], *expressions: str) -> Select[Any]:
    # A condition for each word. The index jumps from the places of one to those of the next, whichever is rare. In a single
    # expression it would begin with the word that seems rare, and guess that from the oldest entries, which may be deleted.
    if buckets:
        expressions = (" | ".join(_quoted(bucket_lexeme(bucket)) for bucket in buckets), *expressions)
    matches = (
        documents.c.vector.op("@@", is_comparison=True)(cast(literal(expression, Text), TSQUERY))
        for expression in expressions
    )
    return select(documents.c.document).where(*matches)


def _conditions(search: Search) -> Iterator[ColumnElement[bool]]:
    """For the words of a document."""
    for term in search.wanted:
        yield _place_of(term) > 0
    for term in search.unwanted:
        yield _place_of(term) == 0


def _place_of(term: Term) -> ColumnElement[int]:
    # `strpos` reads a long text faster than LIKE does, and needs no escapes.
    return func.strpos(documents.c.words, f" {' '.join(term.words)}" + ("" if term.is_prefix else " "))


def _expression(word: str, *, is_prefix: bool = False) -> str:
    return _quoted(word[:LEXEME_CHARS]) + (":*" if is_prefix and len(word) < LEXEME_CHARS else "")


def _quoted(lexeme: str) -> str:
    """Lexemes are letters and digits, and ours have no quotes, so quotes are enough to escape them."""
    return f"'{lexeme}'"
