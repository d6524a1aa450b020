"""What differs between two texts, at a bounded cost."""

import random
import time
import tracemalloc

import pytest

from llm_service.web.pages.text_diff import MAX_CHARS, MAX_LINES, TextDiff, diff_texts


def drawn(first: str, second: str) -> list[str]:
    """Each line with its sign, and its changed words in brackets."""
    diff = diff_texts(first, second)
    assert diff is not None
    return [
        line.sign + "".join(f"[{piece.text}]" if piece.changed else piece.text for piece in line.pieces)
        for block in diff.blocks
        for line in block.lines
    ]


def sides(diff: TextDiff) -> tuple[str, str]:
    """Both texts, from what is shown of them."""
    lines = [line for block in diff.blocks for line in block.lines]
    first, second = (
        "\n".join("".join(piece.text for piece in line.pieces) for line in lines if line.sign in (" ", sign))
        for sign in "-+"
    )
    return first, second


def test_changed_words_are_marked_in_their_lines() -> None:
    first, second = "Dear Ann,\nthe quick brown fox jumps\nBye", "Dear Ann,\nthe slow brown fox jumps\nBye"
    assert drawn(first, second) == [
        " Dear Ann,", "-the [quick] brown fox jumps", "+the [slow] brown fox jumps", " Bye"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("a\nb", "a\nc\nb", [" a", "+c", " b"]),
        ("a\nb", "b", ["-a", " b"]),
        ("", "new", ["-", "+new"]),
        ("word", "", ["-word", "+"]),
        # Nothing in common but a blank: no part of the line is marked.
        ("red apple", "blue sky", ["-red apple", "+blue sky"]),
        ("日本語です", "日本人です", ["-日本[語]です", "+日本[人]です"]),
        ("a\r\nb", "a\r\nc", [" a\r", "-b", "+c"]),
        ("one\u2028two", "one\u2028three", ["-one\u2028[two]", "+one\u2028[three]"]),
        ("<b>x</b> y", "<b>x</b> z", ["-<b>x</b> [y]", "+<b>x</b> [z]"]),
    ],
)
def test_what_is_shown(first: str, second: str, shown: list[str]) -> None:
    assert drawn(first, second) == shown


def test_equal_texts_do_not_differ() -> None:
    diff = diff_texts("a\nb", "a\nb")
    assert diff is not None
    assert (diff.same, diff.removed, diff.added) == (True, 0, 0)


def test_unchanged_lines_far_from_changes_are_folded() -> None:
    lines = [f"line {number}" for number in range(30)]
    diff = diff_texts("\n".join(lines), "\n".join([*lines[:15], "changed", *lines[16:]]))
    assert diff is not None
    assert [(len(block.lines), block.folded) for block in diff.blocks] == [(12, True), (8, False), (11, True)]
    assert (diff.removed, diff.added) == (1, 1)


def test_both_texts_can_be_read_from_it_whatever_they_are() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        first, second = ("".join(chance.choices("ab c\n.", k=chance.randrange(40))) for _ in range(2))
        diff = diff_texts(first, second)
        assert diff is not None
        assert sides(diff) == (first, second)


def test_too_long_texts_are_not_compared() -> None:
    assert diff_texts("a" * MAX_CHARS, "a") is None
    assert diff_texts("\n" * MAX_LINES, "\n") is None
    assert diff_texts("a" * (MAX_CHARS - 1), "a") is not None


@pytest.mark.parametrize("words", [("a",), ("a", "b"), tuple(str(number) for number in range(3000))])
def test_the_worst_texts_take_a_bounded_time(words: tuple[str, ...]) -> None:
    chance = random.Random(3)
    for glue in (" ", "\n"):
        count = min(MAX_CHARS // 2 // (1 + len(words[-1])), MAX_LINES // 2 if glue == "\n" else MAX_CHARS)
        first, second = (glue.join(chance.choices(words, k=count)) for _ in range(2))
        began = time.process_time()
        diff = diff_texts(first, second)
        assert time.process_time() - began < 5
        assert diff is not None
        assert sides(diff) == (first, second)


def test_the_worst_texts_take_bounded_memory() -> None:
    """Several people may compare at once, each in a thread."""
    chance = random.Random(3)
    first, second = ("\n".join(chance.choices("abcd", k=MAX_LINES // 2)) for _ in range(2))
    tracemalloc.start()
    try:
        assert diff_texts(first, second) is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 15_000_000
