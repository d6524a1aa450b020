"""Code with classes: each character once, escaped, and never for long."""

import html
import re
import subprocess
import sys

import pytest

from llm_service.web.pages import highlight
from llm_service.web.pages.highlight import (
    ALIASES,
    CLASSES,
    LANGUAGES,
    MAX_CODE_CHARS,
    MAX_LINE_CHARS,
    Highlighter,
    is_code,
    language_of,
)
from tests.support.effort import turns
from tests.support.hostile import EVERYTHING, UNITS

# More of what makes expressions go back and forth.
OPENINGS = [
    "/* ",
    "<<A\n",
    "'a",
    '"""',
    "${",
    "a<b<",
    "=> ",
    "def a(",
    "a:",
    "`a",
    "{a:",
    "List<",
    "$((",
    "a = ",
    "- a: ",
    "<?php ",
]


def classes_in(shown: str) -> set[str]:
    return set(re.findall(r'<span class="([^"]*)">', shown))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_character_comes_out_once(language: str) -> None:
    code = "\r\n\n" + "\n".join([*EVERYTHING, *OPENINGS]) + "\t\n\n"
    shown = Highlighter().to_html(code, language)
    assert classes_in(shown) <= set(CLASSES.values())
    without = re.sub(r'<span class="[a-z]">|</span>', "", shown)
    assert "<" not in without
    assert html.unescape(without) == code


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "def f(): # x", '<span class="k">def</span> <span class="f">f</span>(): <span class="c"># x</span>'),
        ("json", '{"a": 1}', '{<span class="k">&quot;a&quot;</span>: <span class="n">1</span>}'),
        ("sql", "SELECT 'a'", '<span class="k">SELECT</span> <span class="s">\'a\'</span>'),
        ("diff", "-a\n+b\n", '<span class="d">-a</span>\n<span class="s">+b</span>\n'),
    ],
)
def test_words_have_classes(language: str, code: str, expected: str) -> None:
    assert Highlighter().to_html(code, language) == expected


@pytest.mark.parametrize("code", ["1 " * (MAX_CODE_CHARS // 2 + 1), "1" * (MAX_LINE_CHARS + 1)], ids=["code", "line"])
def test_long_code_stays_plain(code: str) -> None:
    assert Highlighter().to_html(code, "python") == code


def test_unknown_languages_stay_plain() -> None:
    assert Highlighter().to_html("1 < 2", None) == "1 &lt; 2"


def test_names_of_languages() -> None:
    assert set(ALIASES.values()) <= set(LANGUAGES)
    assert [language_of(info) for info in ("py", "Python title=x", "c++", "", "  ", "text", "no-such")] == [
        "python", "python", "cpp", None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_code_takes_long(language: str) -> None:
    """Each hostile unit fills a line of its own."""
    lines = [(unit * MAX_LINE_CHARS)[:MAX_LINE_CHARS].replace("\n", " ") for unit in [*OPENINGS, *UNITS.values()]]
    code = "\n".join(lines)[:MAX_CODE_CHARS]
    assert turns(lambda: Highlighter().to_html(code, language), 2) < 30_000_000, "half a second"


def test_the_blocks_of_an_answer_share_the_time() -> None:
    class Spent(Highlighter):
        def __init__(self) -> None:
            self._until_s = 0

    assert Spent().to_html("x = 1", "python") == "x = 1"


def test_the_start_does_not_import_pygments() -> None:
    # structlog imports rich, a package of the tests that imports pygments, where it is there.
    code = f"import sys; sys.modules['rich'] = None; import {highlight.__name__}; sys.exit('pygments' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT name FROM users WHERE id = 1", True),
        ("with late as (select 1) select * from late", True),
        ("create table users (id integer)", True),
        ("def f():\n    return 1\n", True),
        ("function f() {\n  return 1;\n}", True),
        ("", False),
        ("Select a date; from there on, go to the office.", False),
        ("Update the terms and set a date", False),
        ("With love,\nAnna", False),
        ("A sentence.\nFrom here on, another one.\n- a point;\n", False),
    ],
)
def test_values_that_look_like_code(text: str, expected: bool) -> None:
    assert is_code(text) is expected
