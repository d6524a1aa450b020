import pytest

from llm_service.core.generation.model import SNIPPET_CHARS, snippet_of
from tests.support.builders import completed, generation


@pytest.mark.parametrize(
    ("text", "snippet"),
    [
        ("Hello", "Hello"),
        ("  two\n\nlines\tand \u2028 more ", "two lines and more"),
        ("x" * 10_000, "x" * SNIPPET_CHARS),
        ("\n" * 10_000, ""),
        ("😀" * 500, "😀" * SNIPPET_CHARS),
    ],
)
def test_a_snippet_is_the_first_words_on_one_line(text: str, snippet: str) -> None:
    assert snippet_of(text) == snippet


def test_without_its_texts_a_generation_keeps_its_figures() -> None:
    whole = completed(generation(1))
    bare = whole.without_texts()
    assert whole.has_texts
    assert not bare.has_texts
    assert (bare.snippet, bare.input, bare.parameters, bare.messages, bare.output) == (
        "",
        "",
        {},
        (),
        None,
    )
    kept = (
        "request_id",
        "owner",
        "template_id",
        "template_revision",
        "model",
        "status",
        "usage",
        "cache_key",
        "created_ms",
    )
    assert [name for name in kept if getattr(bare, name) != getattr(whole, name)] == []
