"""Texts that begin anew: who has shown a part of the old one goes on, if the new one begins with it."""

import pytest

from llm_service.adapters.memory.single_flight import MemorySharedCall, MemorySingleFlight
from llm_service.core import errors
from llm_service.core.generation.shown_text import ShownText


@pytest.fixture(name="text")
def _text() -> MemorySharedCall:
    return MemorySingleFlight().join("k", "id-1", "f")


def test_each_piece_is_shown_once(text: MemorySharedCall) -> None:
    shown, seen = ShownText(text), []
    for piece in ("a", "b\U0001f600", "c"):
        text.append(piece)
        seen.append(shown.more(over=False))
    assert (seen, shown.more(over=True), shown.text, shown.position) == (
        ["a", "b\U0001f600", "c"], "", "ab\U0001f600c", 4
    )  # fmt: skip


def test_it_goes_on_where_the_new_text_begins_with_what_was_shown(text: MemorySharedCall) -> None:
    text.append("one two")
    shown = ShownText(text)
    assert shown.more(over=False) == "one two"
    text.restart()
    assert shown.more(over=False) == ""
    text.append("one")
    assert shown.more(over=False) == "", "not as far yet"
    text.append(" two three")
    assert shown.more(over=False) == " three"


@pytest.mark.parametrize(("new", "over"), [("one 2", False), ("one", True), ("", True)])
def test_another_text_is_an_error(text: MemorySharedCall, new: str, over: bool) -> None:
    text.append("one t")
    shown = ShownText(text)
    shown.more(over=False)
    text.restart()
    text.append(new)
    with pytest.raises(errors.UpstreamTruncated):
        shown.more(over=over)


def test_the_error_of_what_failed_says_more(text: MemorySharedCall) -> None:
    text.append("one")
    shown = ShownText(text)
    shown.more(over=False)
    text.restart()
    assert shown.more(over=True, failed=True) == ""


def test_who_has_shown_nothing_takes_any_text(text: MemorySharedCall) -> None:
    text.append("one")
    shown = ShownText(text)
    text.restart()
    text.append("two")
    assert shown.more(over=False) == "two"


def test_a_position_may_be_ahead_of_the_text(text: MemorySharedCall) -> None:
    """The part that was shown before comes again from elsewhere, and is not shown again."""
    shown = ShownText(text, after=3)
    text.append("on")
    assert (shown.more(over=False), shown.text) == ("", None)
    text.append("e two")
    assert (shown.more(over=False), shown.text, shown.position) == (" two", "one two", 7)


def test_a_text_that_ends_before_the_position_shows_nothing(text: MemorySharedCall) -> None:
    shown = ShownText(text, after=3)
    text.append("on")
    assert (shown.more(over=True), shown.text, shown.position) == ("", None, 3)
