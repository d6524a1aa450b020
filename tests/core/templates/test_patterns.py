"""The regular expressions of prompt files mean the same in Python, JavaScript and JSON Schema."""

import pytest

from llm_service.core.templates.patterns import PatternError, check_pattern, pattern_matches


@pytest.mark.parametrize(
    "pattern", ["", "^[A-Z]{2}-[0-9]+$", "(?:a|b)+", r"\(\?i\)", r"\d\w\s\b", "[^a-z]", "é", "a{0,5}"]
)
def test_the_shared_part_of_the_language(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("(?i)abc", "(?"), ("(?P<name>a)", "(?"), ("(?<!a)b", "(?"), ("(?=a)", "(?"),
        ("[[:alpha:]]", "[[:"), (r"\Aabc", r"\A"), (r"abc\z", r"\z"), (r"\Q.\E", r"\Q"), (r"\C", r"\C"),
    ],
)  # fmt: skip
def test_what_means_something_else_in_javascript_is_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(PatternError) as raised:
        check_pattern(pattern)
    assert str(raised.value).startswith(named)


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "*", r"\1", "a" + "{1000}" * 3, "(?:"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError) as raised:
        check_pattern(pattern)
    assert str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^abc$", "abc\n", False),
        (r"^\d+$", "٣", False),
        (r"^\w+$", "é", False),
        ("^.$", "😀", True),
        ("", "", True),
    ],
)
def test_it_is_found_anywhere_and_classes_are_ascii(pattern: str, text: str, found: bool) -> None:
    check_pattern(pattern)
    assert pattern_matches(pattern, text) is found


def test_no_pattern_takes_long() -> None:
    """With backtracking this would outlast the universe."""
    assert not pattern_matches("^(a+)+$", "a" * 100_000 + "b")
    assert not pattern_matches("^(a|a?)+$", "a" * 100_000 + "b")
