"""A model with its fallbacks, as one text."""

import pytest

from llm_service.core.model_chain import chain_of, fault_in


def test_blanks_around_names_do_not_count() -> None:
    assert chain_of(" a > azure/b>c:7b ") == ("a", "azure/b", "c:7b")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a", None),
        ("a>b>c", None),
        (" a > b ", None),
        ("a>", "has no name before or after a >"),
        (">a", "has no name before or after a >"),
        ("a>>b", "has no name before or after a >"),
        ("", "has no name before or after a >"),
        ("a>b>a", "names a model twice"),
        (">".join("abcdefghi"), "names more than 8 models"),
    ],
)
def test_what_is_wrong_with_a_list(text: str, fault: str | None) -> None:
    assert fault_in(text) == fault
