"""Every text for people is in one place: a page's template or `labels.py`, never in a script."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.constants import ROOT

SCRIPTS = sorted((ROOT / "static/js").glob("*.js"))
TEMPLATES = sorted((ROOT / "templates_html").rglob("*.html"))
# Without comments and indentation: nobody should save on these.
MAX_SCRIPT_BYTES = 25_000
# The names of keys, and of a header: not shown to anyone.
NAMES = {
    "Accept", "ArrowDown", "ArrowLeft", "ArrowRight", "ArrowUp", "Backspace", "Delete", "End", "Enter", "Escape", "Home", "Space", "Tab",
}  # fmt: skip
# Shorter ones, such as "Input tokens", are words of the language.
MIN_WORDS = 5


def code_of(script: str) -> str:
    return re.sub(r"(?m)^\s+|(?:^|\s+)//.*$", "", script)


def literals(script: str) -> list[str]:
    """The texts in quotes of a script; of a template literal, the parts around its expressions."""
    code = code_of(script)
    texts = re.findall(r"\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`", code)
    return [" ".join(re.sub(r"\$\{[^}]*\}", " ", "".join(found)).split()) for found in texts]


def is_for_people(text: str) -> bool:
    """A sentence, or a word that begins with a capital letter; selectors, classes and media types are neither."""
    if re.search(r"[\[\].#:/=_{}>-]", text.rstrip(".…:")) or text in NAMES:
        return False
    return re.search(r"[A-Za-z]{2,} [a-z]{2,}|^[A-Z][a-z]+", text.strip()) is not None


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_show_texts_of_the_page_only(path: Path) -> None:
    assert [text for text in literals(path.read_text()) if is_for_people(text)] == []


@pytest.mark.parametrize("text", ["Copied", "Try again in a moment.", "Press Ctrl + C", "of many characters"])
def test_what_is_for_people(text: str) -> None:
    assert is_for_people(literals(f"x('{text}');")[0])


def test_the_scripts_are_small() -> None:
    sizes = {path.name: len(code_of(path.read_text()).encode()) for path in SCRIPTS}
    assert sum(sizes.values()) <= MAX_SCRIPT_BYTES, sizes


def sentences(template: str) -> list[str]:
    """The texts between the elements and the tags of a template."""
    without = re.sub(r"(?s)\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", "\n", template)
    lines = (line.strip(" .,:()") for piece in without.split("\n") for line in re.split(r"(?<=[.!?]) ", piece))
    return [line for line in lines if len(line.split()) >= MIN_WORDS]


def test_no_sentence_is_written_twice() -> None:
    counts = Counter(sentence for path in TEMPLATES for sentence in sentences(path.read_text()))
    assert len(counts) > 30
    assert [sentence for sentence, count in counts.items() if count > 1] == []
