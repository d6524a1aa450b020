"""The search syntax, and what a word is. Databases get folded words and a tree, so all give the same results.

A search is a list of terms. A text must have all of them, in any order: a word, a "phrase in quotes", or a prefix* of
at least three characters. A - before a term excludes texts that have it. There is no other syntax, and every text is a
valid search: an unclosed quote ends with the search, and anything that is not a word is ignored.

A word is a run of letters and digits; all other characters separate words. Case, accents and compatibility forms are
ignored (`Ärger`, `arger` and `ARGER` are the same word). Each Chinese or Japanese character is a word. A term of several
words, such as `e-mail`, is a phrase.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

# A shorter prefix would match a large part of all words: its star is ignored.
MIN_PREFIX_CHARS = 3
EXCERPT_CHARS = 160
_BEFORE_CHARS = 40

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_MARKS = re.compile("[\u0300-\u036f]")
_TERM = re.compile(r'(-*)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Term:
    """Consecutive words. `is_prefix`: the last one is only the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Terms that texts must have, and must not have. Without terms it finds nothing."""

    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()

    @property
    def has_words(self) -> bool:
        return bool(self.wanted or self.unwanted)


def words_of(text: str) -> list[str]:
    """The text's words, folded."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return _WORD.findall(_folded(text))


def parse_search(text: str) -> Search:
    """Any text is a search; one without words finds nothing."""
    wanted: list[Term] = []
    unwanted: list[Term] = []
    for minus, quoted, bare in _TERM.findall(text):
        term = _term(quoted, can_be_prefix=False) if quoted else _term(bare, can_be_prefix=True)
        if term is not None:
            (unwanted if minus else wanted).append(term)
    return Search(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(unwanted)))


def excerpt(search: Search, texts: Sequence[str]) -> str | None:
    """The words around the first match in the texts, on one line; None = no match."""
    for text in texts:
        for start, _ in _places(search, text):
            return _cut(text, start)
    return None


def marked(search: Search, text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a match."""
    last = 0
    for start, end in _places(search, text):
        yield text[last:start], False
        yield text[start:end], True
        last = end
    yield text[last:], False


def _places(search: Search, text: str) -> Iterator[tuple[int, int]]:
    """The start and end of each match in the text."""
    pattern = _pattern(search)
    if pattern is None:
        return
    folded, origins = _flat(text)
    last = 0
    for found in pattern.finditer(folded):
        # A combining accent belongs to its letter, so a match ends where the next folded character starts.
        start, end = origins[found.start()], max(origins[found.end()], origins[found.end() - 1] + 1)
        if start >= last:
            yield start, end
            last = end


def _term(text: str, *, can_be_prefix: bool) -> Term | None:
    words = tuple(words_of(text))
    if not words:
        return None
    starred = can_be_prefix and text.endswith("*") and len(words[-1]) >= MIN_PREFIX_CHARS
    return Term(words, starred)


def _cut(text: str, place: int) -> str:
    """About 160 characters around a place, on one line, cut between words."""
    start = max(0, place - _BEFORE_CHARS)
    if start:
        start = max(text.rfind(" ", start - _BEFORE_CHARS, start) + 1, start - _BEFORE_CHARS)
    end = start + EXCERPT_CHARS
    line = " ".join(text[start:end].split())
    return f"{'… ' if start else ''}{line}{' …' if end < len(text) else ''}"


@lru_cache(maxsize=64)
def _pattern(search: Search) -> re.Pattern[str] | None:
    """Matches the wanted terms in a folded text; None if there are none."""
    return re.compile("|".join(map(_term_pattern, search.wanted))) if search.wanted else None


def _term_pattern(term: Term) -> str:
    begin = "" if _is_cjk(term.words[0]) else r"(?<![^\W_])"
    end = "" if _is_cjk(term.words[-1]) else r"[^\W_]*" if term.is_prefix else r"(?![^\W_])"
    pattern = re.escape(term.words[0])
    for before, word in pairwise(term.words):
        # Only Chinese and Japanese words need no separator.
        pattern += (r"[\W_]*" if _is_cjk(before) or _is_cjk(word) else r"[\W_]+") + re.escape(word)
    return begin + pattern + end


def _is_cjk(word: str) -> bool:
    return re.match(f"[{_CJK}]", word) is not None


def _flat(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its characters and its end the position in the original text."""
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    pieces = list(map(_folded_character, text))
    origins = [place for place, piece in enumerate(pieces) for _ in piece]
    return "".join(pieces), [*origins, len(text)]


@lru_cache(maxsize=4096)
def _folded_character(character: str) -> str:
    return _folded(character)


def _folded(text: str) -> str:
    return _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold())
