"""What a tag is."""

import pytest

from llm_service.core.errors import InvalidCharacter, InvalidInput
from llm_service.core.history.tags import MAX_TAG_CHARS, MAX_TAGS, read_tags, split_tags


def test_tags_are_read_once_each_without_extra_spaces() -> None:
    assert read_tags("tags", ["to  check", " to check ", "Ärger", "漢字", "👨‍👩‍👧"]) == (
        "to check",
        "Ärger",
        "漢字",
        "👨‍👩‍👧",
    )
    assert read_tags("tags", []) == ()


def test_as_many_and_as_long_as_allowed() -> None:
    most = [f"{number:040}" for number in range(MAX_TAGS)]
    assert read_tags("tags", [*most, most[0]]) == tuple(most)
    for texts, message in [
        ([*most, "more"], "at most 20 tags"),
        (["x" * (MAX_TAG_CHARS + 1)], "at most 40 characters"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            read_tags("tags", texts)
        assert message in str(caught.value.fields[0])


@pytest.mark.parametrize("text", ["", "  ", "a,b", ","])
def test_no_tag(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_tags("tags", ["good", text])
    assert [error.field for error in caught.value.fields] == ["tags"]


def test_what_cannot_be_stored() -> None:
    with pytest.raises(InvalidCharacter):
        read_tags("tags", ["a\x00b"])


def test_typed_tags_are_split_at_commas() -> None:
    assert split_tags(" a, b c,,  ,d,") == [" a", " b c", "d"]
    assert split_tags("") == []


def test_a_text_that_is_far_too_long_is_not_split() -> None:
    with pytest.raises(InvalidInput) as caught:
        split_tags("a," * 1_000_000)
    assert [error.field for error in caught.value.fields] == ["tags"]
