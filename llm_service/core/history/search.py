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
from itertools import groupby, islice

# A shorter prefix would match a large part of all words: its star is ignored.
MIN_PREFIX_CHARS = 3
EXCERPT_CHARS = 160
_BEFORE_CHARS = 40
# Excerpts are searched for in this much of a text.
EXCERPTED_CHARS = 20_000
# And in fewer characters the more words a search has: a character costs this many steps and one for each word. A
# million steps take about 10 ms.
STEPS_PER_CHAR = 8
MAX_STEPS_PER_TEXT = 600_000
MAX_STEPS_PER_PAGE = 30_000_000

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
# ASCII in lower case, with spaces instead of what is in no word.
_SPACED = bytes(ord(chr(code).lower()) if chr(code).isalnum() and code < 128 else 32 for code in range(256))
_MARKS = re.compile("[\u0300-\u036f]")
# Contains every run of more than 30 combining marks: they are no letters, and their numbers are above these.
_LONG_RUN = re.compile(r"[^\w\x00-\u02ff]{31,}")
_CHUNK_CHARS = 256
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
    return _WORD.findall(_folded(text))


def spaced_words(text: str) -> str:
    """As `words_of`, with at least one space between them."""
    if text.isascii():
        return text.encode().translate(_SPACED).decode()
    return " ".join(words_of(text))


def parse_search(text: str) -> Search:
    """Any text is a search; one without words finds nothing."""
    wanted: list[Term] = []
    unwanted: list[Term] = []
    for minus, quoted, bare in _TERM.findall(text):
        term = _term(quoted, can_be_prefix=False) if quoted else _term(bare, can_be_prefix=True)
        if term is not None:
            (unwanted if minus else wanted).append(term)
    return Search(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(unwanted)))


class Excerpts:
    """The excerpts of one page of results. The work for a page is bounded, whatever the texts and the search are."""

    def __init__(self, search: Search) -> None:
        self._wanted = search.wanted
        self._pattern = _pattern(search)
        self._steps_per_char = STEPS_PER_CHAR + sum(len(term.words) for term in search.wanted)
        self._steps_left = MAX_STEPS_PER_PAGE

    def of(self, texts: Sequence[str]) -> str | None:
        """The words around the first match in the texts, on one line; None if the searched characters have none."""
        for text in texts:
            place = self._first_place(text[: self._searched_chars()])
            if place is not None:
                return _cut(text, place)
        return None

    def _searched_chars(self) -> int:
        return min(EXCERPTED_CHARS, min(MAX_STEPS_PER_TEXT, self._steps_left) // self._steps_per_char)

    def _first_place(self, text: str) -> int | None:
        self._steps_left -= len(text) * self._steps_per_char
        folded = _folded(text)
        if not any(all(word in folded for word in term.words) for term in self._wanted):
            return None  # found out much faster than by listing the words
        for first, _ in _matching_words(self._pattern, _WORD.findall(folded)):
            word = next(islice(_WORD.finditer(folded), first, None))
            return _origin(text, word.start())
        return None


def marked(search: Search, text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a match."""
    last = 0
    for start, end in _places(search, text):
        if start >= last:  # one character can be several words
            yield text[last:start], False
            yield text[start:end], True
            last = end
    yield text[last:], False


def _places(search: Search, text: str) -> Iterator[tuple[int, int]]:
    """The start and end of each match in the text."""
    folded, origins = _flat(text)
    words = list(_WORD.finditer(folded))
    for first, last in _matching_words(_pattern(search), [word[0] for word in words]):
        end = words[last].end()
        # A combining accent belongs to its letter, so a match ends where the next folded character starts.
        yield origins[words[first].start()], max(origins[end], origins[end - 1] + 1)


def _matching_words(pattern: re.Pattern[str] | None, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The first and the last word of each match."""
    if pattern is None:
        return
    joined = f" {' '.join(words)} "
    number, end = -1, 0
    for found in pattern.finditer(joined):
        first = number + joined.count(" ", end, found.start() + 1)
        number = first + joined.count(" ", found.start() + 1, found.end())
        end = found.end()
        yield first, number


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
    """Matches the wanted terms, each with a space before it, in words with spaces around them; None without terms."""
    if not search.wanted:
        return None
    terms = [re.escape(" ".join(term.words)) + ("[^ ]*+" if term.is_prefix else "") for term in search.wanted]
    return re.compile(f" (?:{'|'.join(terms)})(?= )")


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


def _origin(text: str, place: int) -> int:
    """The position in the text of what became the folded text's character at `place`."""
    if text.isascii():
        return place
    # Folding changes each character by itself, so the lengths of folded parts add up.
    for start in range(0, len(text), _CHUNK_CHARS):
        folded_chars = len(_folded(text[start : start + _CHUNK_CHARS]))
        if place < folded_chars:
            return start + _flat(text[start : start + _CHUNK_CHARS])[1][place]
        place -= folded_chars
    return len(text)


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _MARKS.sub("", unicodedata.normalize("NFKD", _with_ordered_marks(text)).casefold())


def _with_ordered_marks(text: str) -> str:
    """Its NFKD is that of the text, and takes linear time: CPython orders a run of marks in quadratic time."""
    # The only letters that NFKD makes marks of.
    text = text.replace("\uff9e", "\u3099").replace("\uff9f", "\u309a")
    return _LONG_RUN.sub(_ordered, text)


def _ordered(run: re.Match[str]) -> str:
    characters = [part for character in run[0] for part in unicodedata.normalize("NFKD", character)]
    ordered: list[str] = []
    # Each run of marks is a group of its own; the rest has no order.
    for _, part in groupby(characters, key=lambda character: unicodedata.combining(character) > 0):
        ordered.extend(sorted(part, key=unicodedata.combining))
    return "".join(ordered)
