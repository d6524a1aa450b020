"""The difference of two texts: by lines, and inside changed lines by words.

Its cost is bounded: where two texts have too little in common, a changed part is shown as a whole.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Of both texts together.
MAX_CHARS = 200_000
MAX_LINES = 6000
# Steps of the search: about a third of a second.
MAX_STEPS = 500_000
# Unchanged lines that are shown around a change; more of them are folded.
CONTEXT = 3
# Letters of scripts without blanks between words are words of their own.
_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|\s+|.", re.DOTALL
)


class Piece(NamedTuple):
    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class DiffLine:
    """`sign`: `-` only in the first text, `+` only in the second, or a blank. `pieces`: its words; only those changed are marked."""

    sign: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are shown, or folded because nothing changes near them."""

    lines: tuple[DiffLine, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class TextDiff:
    """`removed` and `added` count lines."""

    blocks: tuple[Block, ...]
    removed: int
    added: int

    @property
    def same(self) -> bool:
        return not self.removed and not self.added


class _Match(NamedTuple):
    """`length` equal items from `first` of the one sequence and from `second` of the other."""

    first: int
    second: int
    length: int


class _Budget:
    def __init__(self) -> None:
        self.left = MAX_STEPS


def diff_texts(first: str, second: str) -> TextDiff | None:
    """None if they are too long."""
    if len(first) + len(second) > MAX_CHARS or first.count("\n") + second.count("\n") > MAX_LINES:
        return None
    budget, lines = _Budget(), list[DiffLine]()
    old, new = first.split("\n"), second.split("\n")
    for is_same, a, b in _parts(old, new, _matches(old, new, budget)):
        if is_same:
            lines += [DiffLine(" ", (Piece(line, False),)) for line in a]
        else:
            lines += _changed(a, b, budget)
    return TextDiff(tuple(_blocks(lines)), *(sum(line.sign == sign for line in lines) for sign in ("-", "+")))


def _changed(old: Sequence[str], new: Sequence[str], budget: _Budget) -> Iterator[DiffLine]:
    """The removed and the added lines of one place, with the words that differ."""
    if not old or not new:
        yield from _whole("-", old)
        yield from _whole("+", new)
        return
    a, b = _WORDS.findall("\n".join(old)), _WORDS.findall("\n".join(new))
    parts = list(_parts(a, b, _without_accidents(a, b, _matches(a, b, budget))))
    yield from _split("-", [Piece("".join(words), not is_same) for is_same, words, _ in parts])
    yield from _split("+", [Piece("".join(words), not is_same) for is_same, _, words in parts])


def _whole(sign: str, lines: Sequence[str]) -> Iterator[DiffLine]:
    return (DiffLine(sign, (Piece(line, False),)) for line in lines)


def _split(sign: str, pieces: Sequence[Piece]) -> Iterator[DiffLine]:
    line: list[Piece] = []
    for text, changed in pieces:
        first, *more = text.split("\n")
        line.append(Piece(first, changed))
        for following in more:
            yield _line(sign, line)
            line = [Piece(following, changed)]
    yield _line(sign, line)


def _line(sign: str, pieces: Sequence[Piece]) -> DiffLine:
    """Where all of a line changed, no part of it is marked."""
    shown = tuple(piece for piece in pieces if piece.text)
    if all(piece.changed or piece.text.isspace() for piece in shown):
        shown = (Piece("".join(piece.text for piece in shown), False),)
    return DiffLine(sign, shown)


def _blocks(lines: Sequence[DiffLine]) -> Iterator[Block]:
    changed = [number for number, line in enumerate(lines) if line.sign != " "]
    shown = {near for number in changed for near in range(number - CONTEXT, number + CONTEXT + 1)}
    begin = 0
    for number in range(1, len(lines) + 1):
        if number == len(lines) or (number in shown) != (begin in shown):
            # A fold takes a line itself.
            yield Block(tuple(lines[begin:number]), folded=begin not in shown and number - begin > 1)
            begin = number


def _parts(
    first: Sequence[str], second: Sequence[str], matches: Sequence[_Match]
) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """Equal and changed parts in turn, none of them empty in both."""
    x = y = 0
    for match in (*matches, _Match(len(first), len(second), 0)):
        if x < match.first or y < match.second:
            yield False, first[x : match.first], second[y : match.second]
        x, y = match.first + match.length, match.second + match.length
        if match.length:
            yield True, first[match.first : x], second[match.second : y]


def _without_accidents(first: Sequence[str], second: Sequence[str], matches: Sequence[_Match]) -> list[_Match]:
    """Without what is equal by chance, such as a blank or a comma between two larger changes."""

    def chars(words: Sequence[str]) -> int:
        return sum(map(len, words))

    kept: list[_Match] = []
    x = y = 0
    for number, match in enumerate(matches):
        following = matches[number + 1] if number + 1 < len(matches) else _Match(len(first), len(second), 0)
        end_x, end_y = match.first + match.length, match.second + match.length
        before = max(chars(first[x : match.first]), chars(second[y : match.second]))
        after = max(chars(first[end_x : following.first]), chars(second[end_y : following.second]))
        if chars(first[match.first : end_x]) > min(before, after):
            kept.append(match)
            x, y = end_x, end_y
    return kept


def _matches(first: Sequence[str], second: Sequence[str], budget: _Budget) -> list[_Match]:
    """The equal parts in order. If the budget ends, only the common beginning and end."""
    length = min(len(first), len(second))
    head = next((i for i in range(length) if first[i] != second[i]), length)
    tail = next((i for i in range(length - head) if first[-1 - i] != second[-1 - i]), length - head)
    inner = _search(first[head : len(first) - tail], second[head : len(second) - tail], budget)
    found = [_Match(0, 0, head), *(_Match(x + head, y + head, length) for x, y, length in inner)]
    return [match for match in (*found, _Match(len(first) - tail, len(second) - tail, tail)) if match.length]


def _search(a: Sequence[str], b: Sequence[str], budget: _Budget) -> list[_Match]:
    """Myers' algorithm: `ends[k]` is how far the first sequence can be read on the diagonal k with so many changes."""
    if not a or not b:
        return []
    ends = {1: 0}
    rounds: list[array[int]] = []
    for changes in range(len(a) + len(b) + 1):
        # Only the diagonals that this round reads, as plain numbers: dictionaries of all of them would take 75 MB.
        rounds.append(array("l", [ends.get(k, 0) for k in range(-changes - 1, changes + 2, 2)]))
        for k in range(-changes, changes + 1, 2):
            down = k == -changes or (k != changes and ends[k - 1] < ends[k + 1])
            x = begin = ends[k + 1] if down else ends[k - 1] + 1
            while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                x += 1
            ends[k] = x
            budget.left -= 1 + x - begin
            if x >= len(a) and x - k >= len(b):
                return _trace(rounds, len(a), len(b))
        if budget.left < 0:
            return []
    raise AssertionError("both sequences end within as many changes as they have items")


def _trace(rounds: Sequence["array[int]"], x: int, y: int) -> list[_Match]:
    """From the end back to the beginning."""
    found: list[_Match] = []
    for changes in range(len(rounds) - 1, -1, -1):
        k = x - y
        # Those of the diagonals k - 1 and k + 1 before this change.
        below, above = rounds[changes][(k + changes) // 2 : (k + changes) // 2 + 2]
        down = k == -changes or (k != changes and below < above)
        before_x = above if down else below
        before_y = before_x - (k + 1 if down else k - 1)
        begin = before_x if down else before_x + 1
        if changes == 0:
            begin = 0
        if x > begin:
            found.append(_Match(begin, y - (x - begin), x - begin))
        x, y = before_x, before_y
    return found[::-1]
