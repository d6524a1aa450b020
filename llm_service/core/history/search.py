"""The language of searches, and what a word is. Databases get folded words and a tree, so that all answer alike.

A search is a list of terms, all of which a text must have, in any order: a word, a "phrase in quotes", a prefix* of at
least three characters. A - in front of a term means that the text must not have it. Nothing else has a meaning, and
every text is a search: quotes that do not close end with it, and what is no word is passed over.

A word is a run of letters and digits; everything else separates words. Capitals, accents and compatibility forms make
no difference (`Ärger`, `arger` and `ARGER` are one word). Each Chinese or Japanese character is a word of its own. A
term that turns out to be several words, such as `e-mail`, is a phrase.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

# A shorter prefix would stand for a large part of all words: its star is passed over.
MIN_PREFIX_CHARS = 3
EXCERPT_CHARS = 160
_BEFORE_CHARS = 40

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_MARKS = re.compile("[\u0300-\u036f]")
_TERM = re.compile(r'(-*)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other. `is_prefix`: the last is only the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """What texts must have, and must not have. With neither it finds nothing."""

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
    """The words around the first place where one of the texts has what is wanted, on one line; None = no such place."""
    for text in texts:
        for start, _ in _places(search, text):
            return _cut(text, start)
    return None


def marked(search: Search, text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is what was searched for."""
    last = 0
    for start, end in _places(search, text):
        yield text[last:start], False
        yield text[start:end], True
        last = end
    yield text[last:], False


def _places(search: Search, text: str) -> Iterator[tuple[int, int]]:
    """Where the text has what is wanted."""
    pattern = _pattern(search)
    if pattern is None:
        return
    folded, origins = _flat(text)
    last = 0
    for found in pattern.finditer(folded):
        # Up to the next character that counts: an accent that is a character of its own belongs to its letter.
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
    """Some 160 characters around a place, on one line, at the borders of words."""
    start = max(0, place - _BEFORE_CHARS)
    if start:
        start = max(text.rfind(" ", start - _BEFORE_CHARS, start) + 1, start - _BEFORE_CHARS)
    end = start + EXCERPT_CHARS
    line = " ".join(text[start:end].split())
    return f"{'… ' if start else ''}{line}{' …' if end < len(text) else ''}"


@lru_cache(maxsize=64)
def _pattern(search: Search) -> re.Pattern[str] | None:
    """Finds the wanted terms in a text made flat; None where nothing is wanted."""
    return re.compile("|".join(map(_term_pattern, search.wanted))) if search.wanted else None


def _term_pattern(term: Term) -> str:
    begin = "" if _is_cjk(term.words[0]) else r"(?<![^\W_])"
    end = "" if _is_cjk(term.words[-1]) else r"[^\W_]*" if term.is_prefix else r"(?![^\W_])"
    pattern = re.escape(term.words[0])
    for before, word in pairwise(term.words):
        # Only Chinese and Japanese words touch each other.
        pattern += (r"[\W_]*" if _is_cjk(before) or _is_cjk(word) else r"[\W_]+") + re.escape(word)
    return begin + pattern + end


def _is_cjk(word: str) -> bool:
    return re.match(f"[{_CJK}]", word) is not None


def _flat(text: str) -> tuple[str, Sequence[int]]:
    """The text folded, and for each of its characters, and for its end, the place in the text that it comes from."""
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
