"""The search language: every text is a search, and what a word is."""

import random

import pytest

from llm_service.core.history.search import EXCERPT_CHARS, Excerpts, Search, Term, marked, parse_search, words_of
from tests.support.hostile import NASTY


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("report", Search((Term(("report",)),))),
        ("Net  INCOME", Search((Term(("net",)), Term(("income",))))),
        ('"net income" -draft', Search((Term(("net", "income")),), (Term(("draft",)),))),
        ("rep*", Search((Term(("rep",), is_prefix=True),))),
        ("re*", Search((Term(("re",)),))),
        ('"rep*"', Search((Term(("rep",)),))),
        ("e-mail", Search((Term(("e", "mail")),))),
        ("foo-bar*", Search((Term(("foo", "bar"), is_prefix=True),))),
        ('-"a b', Search((), (Term(("a", "b")),))),
        ("AND or NOT", Search((Term(("and",)), Term(("or",)), Term(("not",))))),
        ("a a", Search((Term(("a",)),))),
        ("!!! 😀", Search()),
        ("漢字", Search((Term(("漢", "字")),))),
    ],
)
def test_the_language(text: str, search: Search) -> None:
    assert parse_search(text) == search
    assert search.has_words is (search != Search())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ärger, arger ARGER", ["arger", "arger", "arger"]),
        ("e\u0301t\u00e9", ["ete"]),
        ("Straße", ["strasse"]),
        ("ﬁne Ⅷ ㎒", ["fine", "viii", "mhz"]),
        ("snake_case 3.14", ["snake", "case", "3", "14"]),
        ("Ｆｕｌｌ", ["full"]),
        ("日本go", ["日", "本", "go"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_no_text_breaks_it(text: str) -> None:
    search = parse_search(text)
    for term in (*search.wanted, *search.unwanted):
        assert term.words
        assert all(word.isalnum() for word in term.words)
    assert "".join(piece for piece, _ in marked(search, text[:2000])) == text[:2000]
    found = Excerpts(search).of([text])
    assert found is None or len(found) <= EXCERPT_CHARS + 4


def test_random_texts_break_nothing() -> None:
    dice = random.Random(7)
    alphabet = "ab*-\"' \x00()^:+{}éß漢😀\u0301\u202e\ud800"
    for _ in range(3000):
        text = "".join(dice.choices(alphabet, k=dice.randrange(30)))
        search = parse_search(text)
        assert all(word.isalnum() for term in (*search.wanted, *search.unwanted) for word in term.words)
        assert "".join(piece for piece, _ in marked(search, text)) == text


def test_the_excerpt_shows_the_place() -> None:
    text = "word " * 100 + "the Needle\nin it " + "word " * 100
    found = Excerpts(parse_search("needle")).of(["nothing", text])
    assert found
    assert found.startswith("… word")
    assert "the Needle in it" in found
    assert found.endswith(" …")
    assert [piece for piece, is_found in marked(parse_search("needle wor*"), "A needle, words") if is_found] == [
        "needle",
        "words",
    ]
    assert Excerpts(parse_search("need")).of([text]) is None, "a word, not a part of one"
    assert Excerpts(parse_search("-needle")).of([text]) is None
    assert Excerpts(parse_search("arger")).of(["Viel Ärger"]) == "Viel Ärger"


@pytest.mark.parametrize(
    ("search", "text", "found"),
    [
        ("한국어", "저는 한국어 합니다", ["한국어"]),
        ("が", "これがいい", ["が"]),
        ("fine", "a ﬁne day", ["ﬁne"]),
        ("arger", "A\u0308rger!", ["A\u0308rger"]),
        ("strasse", "eine Straße", ["Straße"]),
        ('"a b"', "ab a-b", ["a-b"]),
        ("e-mail", "email e-mail E mail", ["e-mail", "E mail"]),
        ("漢字", "漢字かな", ["漢字"]),
        ("İstanbul", "in İstanbul", ["İstanbul"]),
    ],
)
def test_what_is_found_is_marked_in_every_script(search: str, text: str, found: list[str]) -> None:
    pieces = list(marked(parse_search(search), text))
    assert [piece for piece, is_found in pieces if is_found] == found
    assert "".join(piece for piece, _ in pieces) == text
    assert Excerpts(parse_search(search)).of([text]) is not None
