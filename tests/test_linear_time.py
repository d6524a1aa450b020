"""Every function that walks a text takes time in proportion to its length, whatever the text is."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import escape

from llm_service.adapters.prompty.parser import parse_prompty
from llm_service.adapters.strict_yaml import FileFormatError
from llm_service.core.errors import InputError
from llm_service.core.generation.model import snippet_of
from llm_service.core.history.search import Excerpts, marked, parse_search, words_of
from llm_service.core.templates.patterns import pattern_matches
from llm_service.core.templates.rendering import Section
from llm_service.core.text import refuse_forbidden, repair
from llm_service.web.http.sse import html_event, json_event
from llm_service.web.pages import columns_of
from llm_service.web.pages.invisible_characters import invisible_characters, titled
from llm_service.web.pages.markdown import link_host, to_html
from tests.support.effort import MAX_GROWTH, growth
from tests.support.hostile import UNITS, of_size

pytestmark = pytest.mark.slow

FRONT = "---\nname: T\ninputs:\n  - {name: input, kind: string, required: true}\n---\n"
LONG, FILE = 200_000, 60_000
SECTION = Section(
    "{% set short = input | replace('a', 'bb') | indent(4) %}{{ short ~ input }}{% for c in input[:9] %}{{ c }}{% endfor %}"
)
MANY_WORDS = parse_search(" ".join(a + b for a, b in pairwise("abcdefghijklmnopqrstuvwxyz" * 6)))
A_PHRASE = parse_search('"' + "a " * 200 + 'b"')


def parse_file(text: str) -> None:
    """A file is UTF-8, and so has no half of a surrogate pair."""
    with suppress(FileFormatError):
        parse_prompty("long_v1", text.replace("\ud800", "?"), default_max_chars=5000)


def refuse(text: str) -> None:
    with suppress(InputError):
        refuse_forbidden("input", text)


def render(text: str) -> None:
    with suppress(InputError):
        SECTION.render({"input": text})


# What walks a text, and how long it can be.
FUNCTIONS: Mapping[str, tuple[Callable[[str], object], int]] = {
    "fold": (words_of, LONG),
    "search": (parse_search, LONG),
    "excerpt of many words": (lambda text: Excerpts(MANY_WORDS).of([text, text]), LONG),
    "excerpt of a phrase": (lambda text: Excerpts(A_PHRASE).of([text, text]), LONG),
    "mark": (lambda text: list(marked(A_PHRASE, text)), LONG),
    "mark many words": (lambda text: list(marked(MANY_WORDS, text)), LONG),
    "snippet": (snippet_of, LONG),
    "refuse": (refuse, LONG),
    "repair": (repair, LONG),
    "pattern": (lambda text: pattern_matches("^(a+)+$", text.replace("\ud800", "")), LONG),
    "render": (render, LONG),
    "role": (lambda text: parse_file(f"{FRONT}user:\nx\nuser{text}x\n#{text}user:{text}x\n"), FILE),
    "section": (lambda text: parse_file(f"{FRONT}user:\n{text}\n"), FILE),
    "before the roles": (lambda text: parse_file(f"{FRONT}{text}\nuser:\nx\n"), FILE),
    "front matter": (lambda text: parse_file(FRONT.replace("T", text.replace("\n", "\n  ")) + "user:\nx\n"), FILE),
    "before the file": (lambda text: parse_file(text[2:] + FRONT), FILE),
    "Markdown": (to_html, 30_000),
    "link": (lambda text: link_host(f"https://{text[2:-2]}!"), LONG),
    "hidden": (invisible_characters, LONG),
    "title": (lambda text: titled(text, "no text"), LONG),
    "event": (html_event, LONG),
    "JSON event": (lambda text: json_event({"text": text}, "delta", 1), LONG),
    "escape": (escape, LONG),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_twice_the_text_takes_twice_the_time(name: str) -> None:
    function, largest = FUNCTIONS[name]

    def work_on(unit: str) -> Callable[[int], Callable[[], object]]:
        return lambda size: partial(function, of_size(unit, size))

    found = {kind: growth(work_on(unit), largest=largest // 2) for kind, unit in UNITS.items()}
    assert {kind: ratio for kind, ratio in found.items() if ratio > MAX_GROWTH} == {}


UNIT = st.text(st.sampled_from("a0é漢\u0301\u0316\u0345\u3099\uff9e \t\n\r-*_\"'`~[]()<>{}|\\&#:;.!/%@\U0001f3f4\U000e0061"), min_size=1, max_size=6)  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(first=UNIT, unit=UNIT, last=UNIT)
def test_no_repetition_takes_longer(name: str, first: str, unit: str, last: str) -> None:
    function, largest = FUNCTIONS[name]

    def work(size: int) -> Callable[[], object]:
        return partial(function, f"{first}{of_size(unit, size)}{last}")

    assert growth(work, largest=largest // 4) <= MAX_GROWTH


def test_the_columns_of_a_table_are_collected_once() -> None:
    def work(size: int) -> Callable[[], object]:
        return partial(columns_of, [{"a": 1, "b": 2}] * size)

    assert columns_of([{"b": 1}, {"a": 1, "b": 2}]) == ["b", "a"]
    assert growth(work, largest=LONG) <= MAX_GROWTH
