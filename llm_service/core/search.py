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
    pattern = _pattern(search)
    if pattern is None:
        return None
    for text in texts:
        if found := pattern.search(_flat(text)):
            return _cut(text, found.start())
    return None


def marked(search: Search, text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is what was searched for."""
    pattern, end = _pattern(search), 0
    for found in () if pattern is None else pattern.finditer(_flat(text)):
        yield text[end : found.start()], False
        yield text[found.start() : found.end()], True
        end = found.end()
    yield text[end:], False


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
    alone = not re.match(f"[{_CJK}]", term.words[0])
    begin, end = (r"(?<![^\W_])", r"[^\W_]*" if term.is_prefix else r"(?![^\W_])") if alone else ("", "")
    return begin + r"[\W_]*".join(map(re.escape, term.words)) + end


def _flat(text: str) -> str:
    """Folded character by character, so that places in it are places in the text."""
    return text.lower() if text.isascii() else "".join(map(_flat_character, text))


@lru_cache(maxsize=4096)
def _flat_character(character: str) -> str:
    folded = _folded(character)
    return folded[0] if folded else "\u00ad"


def _folded(text: str) -> str:
    return _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold())
