"""The search language: every text is a search, and what a word is."""

import random
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.history.search import (
    EXCERPT_CHARS,
    EXCERPTED_CHARS,
    Excerpts,
    Search,
    Term,
    marked,
    parse_search,
    spaced_words,
    words_of,
)
from tests.support.effort import turns
from tests.support.hostile import NASTY, UNITS, of_size


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


@pytest.mark.parametrize(
    "text", ["".join(map(chr, range(128))) * 2, "A b_c-1,\n2  ", "", "_", "Ärger, e-mail \u4e2d\u6587"]
)
def test_words_with_spaces_are_the_words(text: str) -> None:
    assert spaced_words(text).split() == words_of(text)


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


# Letters that fall apart into marks, and marks of several classes.
MARKS = st.text(
    st.sampled_from("\u0301\u0316\u0345\u0344\u0f73\u0f74\u3099\uff9e\uff9f\u05b0\u094d\u302a\u1d165"), max_size=120
)


@given(st.lists(st.tuples(st.text(max_size=3), MARKS), max_size=3))
def test_marks_fold_as_unicode_says(parts: list[tuple[str, str]]) -> None:
    """Also long runs: documents in the index can be removed only with the words they were written with."""
    text = "".join(letters + marks for letters, marks in parts)
    folded = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text).casefold())
    assert words_of(text) == words_of(folded)
    assert " ".join(words_of(text)) == " ".join(
        re.findall("[\u3040-\u30ff\u3400-\u9fff]|[^\\W_\u3040-\u30ff\u3400-\u9fff]+", folded)
    )


@pytest.mark.parametrize("unit", ["\u0301\u0316", "\u0f73", "\uff9e\u0301", "\u0345\u0301"])
def test_folding_a_run_of_marks_takes_no_second(unit: str) -> None:
    assert turns(lambda: words_of(of_size(unit, 100_000))) < 20_000_000, "it took 10 s when it was quadratic"


PAGES = {
    "two-letter words": (" ".join(f"{a}{b}" for a in "abcdefghijklm" for b in "nopqrstuvwxyz")[:498], "xy zz qq "),
    "words of a letter": (" ".join("cdefghijklmnopqrstuvwxyz" * 10), "ä1 "),
    "a phrase": ('"' + "a " * 245 + 'b"', "a "),
    "a Chinese phrase": ("漢" * 490 + "字", "漢"),
    "marks that are words": ("漢" + "\u3099" * 300 + "字", "\u3099"),
    "one word in German": ("Nadel", "Größe der Übung fällt "),
    "one word in Chinese": ("国", "漢字かな交じり文です。"),
    "a phrase in other places": ("漢文", "漢字かな交じり文です。"),
    "a word in other words": ("gro", "Größe der Übung fällt "),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_work_for_a_page_is_bounded(name: str) -> None:
    search, unit = PAGES[name]
    text = of_size(unit, EXCERPTED_CHARS)

    def page() -> None:
        excerpts = Excerpts(parse_search(search))
        for _ in range(201):
            assert excerpts.of([text, text]) is None

    assert turns(page) < 120_000_000, "about a second; it took up to a minute"


def test_every_row_of_an_ordinary_page_has_its_excerpt() -> None:
    search = parse_search('"net income" needle 2026*')
    for rows, chars in ((201, 3000), (51, EXCERPTED_CHARS)):
        excerpts = Excerpts(search)
        texts = ["Größe " * (chars // 6), "word " * (chars // 5 - 9) + "the needle"]
        assert all("the needle" in (excerpts.of(texts) or "") for _ in range(rows))


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_the_excerpt_is_at_the_place_whatever_is_before_it(unit: str) -> None:
    text = f"{of_size(unit, 3000)} the needle, {of_size(unit, 300)}"
    found = Excerpts(parse_search("needle")).of([text])
    assert found is not None
    assert "needle," in found
    assert [piece for piece, is_found in marked(parse_search("needle"), text) if is_found] == ["needle"]


def test_what_is_far_into_a_text_is_not_searched() -> None:
    text = "word " * (EXCERPTED_CHARS // 5)
    assert Excerpts(parse_search("needle")).of([text + "needle"]) is None
    assert Excerpts(parse_search("needle")).of([text[:-10] + "needle"]) is not None


@pytest.mark.parametrize(
    ("search", "text", "found"),
    [
        ("漢\u3099字", "漢\u3099字 漢字", ["漢\u3099字"]),
        ("go", "日本go go語 gone", ["go", "go"]),
        ('"1 2"', "½ und 1 2", ["½", "1 2"]),
        ("a a", "a a a", ["a", "a", "a"]),
        ('"a a"', "a-a a_a a", ["a-a", "a_a"]),
    ],
)
def test_marks_are_where_the_index_found_the_words(search: str, text: str, found: list[str]) -> None:
    assert [piece for piece, is_found in marked(parse_search(search), text) if is_found] == found
