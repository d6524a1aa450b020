"""When an answer has a warning."""

import pytest

from llm_service.core.generation.model import Done, Status
from llm_service.core.generation.warnings import INPUT_TRUNCATED, warnings_of
from llm_service.core.usage.tokens import Usage
from tests.support.builders import messages_of


def codes(text: str, usage: Usage, system: str = "") -> list[str]:
    done = Done(Status.COMPLETED, "text", usage, "m1")
    return [warning.code for warning in warnings_of(messages_of(system, text), done)]


@pytest.mark.parametrize(
    ("chars", "reported", "warns"),
    [
        (4000, 599, True),
        (4000, 600, False),
        (3999, 1, False),
        (40_000, 5999, True),
        (40_000, 6000, False),
        (4000, 0, True),
        (4000, None, False),
    ],
)
def test_an_input_is_cut_if_much_of_it_was_not_counted(chars: int, reported: int | None, warns: bool) -> None:
    text = ("some words of a text " * 2000)[:chars]
    assert codes(text, Usage(reported, 5)) == [INPUT_TRUNCATED] * warns


def test_all_messages_count() -> None:
    half = "some words " * 200
    assert codes(half, Usage(500, 5)) == []
    assert codes(half, Usage(500, 5), system=half) == [INPUT_TRUNCATED]


def test_the_numbers_are_in_the_message() -> None:
    done = Done(Status.COMPLETED, "text", Usage(2048, 5), "m1")
    (warning,) = warnings_of(messages_of("", "abcd" * 10_000), done)
    assert "counted 2,048 input tokens, but the text has about 10,000" in warning.message


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("नमस्ते दुनिया " * 400, 2000), ("-" * 5000, 320), (" " * 5000 + "end", 70), ("| --------- " * 500, 700)],
)
def test_text_with_few_tokens_for_its_length_is_not_taken_for_a_cut_one(text: str, tokens: int) -> None:
    assert codes(text, Usage(tokens, 5)) == []


def test_counts_that_leave_out_what_was_cached_are_of_another_kind() -> None:
    assert codes("some words " * 1000, Usage(10, 5, cached_input_tokens=2000)) == []
    assert codes("some words " * 1000, Usage(10, 5, cached_input_tokens=10)) == [INPUT_TRUNCATED]
