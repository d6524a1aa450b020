"""The options that a caller may set: what is taken, and what each refusal says."""

from typing import Any

import pytest

from llm_service.core.errors import InvalidInput
from llm_service.core.templates.options import OVERRIDABLE_OPTIONS, check_options

ALL = tuple(OVERRIDABLE_OPTIONS)


@pytest.mark.parametrize(
    "given",
    [{}, {"temperature": 0}, {"temperature": 1.5}, {"temperature": 2, "max_output_tokens": 1}, {"max_output_tokens": 1_000_000}],
)  # fmt: skip
def test_good_options(given: dict[str, Any]) -> None:
    assert check_options(ALL, given) == given


def test_equal_numbers_are_the_same_option() -> None:
    """Else they would have two keys in the cache."""
    checked = check_options(ALL, {"temperature": 1.0, "max_output_tokens": 100.0})
    assert repr(checked) == "{'temperature': 1, 'max_output_tokens': 100}"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"temperature": 2.1}, "options.temperature", "at most 2"),
        ({"temperature": -0.1}, "options.temperature", "at least 0"),
        ({"temperature": "1"}, "options.temperature", "number"),
        ({"temperature": True}, "options.temperature", "number"),
        ({"temperature": None}, "options.temperature", "number"),
        ({"max_output_tokens": 0}, "options.max_output_tokens", "at least 1"),
        ({"max_output_tokens": 1.5}, "options.max_output_tokens", "integer"),
        ({"max_output_tokens": 1_000_001}, "options.max_output_tokens", "at most 1000000"),
        ({"top_p": 1}, "options.top_p", "allowed: temperature, max_output_tokens"),
    ],
)
def test_bad_options(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_options(ALL, given)
    (error,) = refused.value.fields
    assert error.field == field
    assert words in error.message


def test_all_errors_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_options(("temperature",), {"temperature": 3, "max_output_tokens": 5, "x" * 100: 1})
    assert [error.field for error in refused.value.fields] == [
        "options.temperature", "options.max_output_tokens", "options." + "x" * 64,
    ]  # fmt: skip


def test_a_template_that_allows_none() -> None:
    with pytest.raises(InvalidInput, match=r"options\.temperature"):
        check_options((), {"temperature": 1})
