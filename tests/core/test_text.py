import pytest

from llm_service.core.errors import InvalidCharacter
from llm_service.core.text import refuse_forbidden, repair


@pytest.mark.parametrize("text", ["", "plain", "é", "漢字 😀", "\x01\x7f\t\r\n", "\ufffe\uffff", "\U0010ffff"])
def test_what_every_store_can_keep_is_left_alone(text: str) -> None:
    refuse_forbidden("input", text)
    assert repair(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\x00b", "contains NUL at character 2"),
        ("é\x00", "contains NUL at character 2"),
        ("\ud800", "contains half of a surrogate pair at character 1"),
        ("ab\udfff\x00", "contains half of a surrogate pair at character 3"),
        ("x" * 100_000 + "\x00", "contains NUL at character 100001"),
    ],
)
def test_the_rest_is_refused_by_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidCharacter) as raised:
        refuse_forbidden("parameters.notes", text)
    (error,) = raised.value.fields
    assert (error.field, error.message) == ("parameters.notes", words)
    assert raised.value.detail == f"parameters.notes {words}. Remove it."


def test_a_model_s_answer_is_repaired_instead() -> None:
    assert repair("a\x00b\ud800c\udc00") == "a\ufffdb\ufffdc\ufffd"
    assert repair("a\x00b\ud800c\udc00").encode()
