"""Both databases find the same rows for every search, and those are the rows whose texts have the words.

Longer than other modules: it has the texts and the searches, which are made by dice.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.adapters.sql.queries import SqlHistoryQueries
from llm_service.adapters.sql.sqlite.database import Database as SqliteDatabase
from llm_service.core.generation.model import Generation, Status
from llm_service.core.history.model import Filters
from llm_service.core.history.search import Search, Term, parse_search, words_of
from llm_service.core.history.service import HistoryService
from tests.support.builders import completed, generation
from tests.support.hostile import NASTY
from tests.support.stores import Stores

VOCABULARIES = [
    words.split()
    for words in (
        "the a of report income net tax quarterly growth plan e-mail naïve Ärger straße ﬁne 2026 3.5 x86_64 can't",
        "всё Ёлка отчёт доход и в не чистый план",
        "Ελληνικά Σίσυφος λόγος και ΛΌΓΟΣ ο",
        "שָׁלוֹם עולם דוח תקציב",
        "تقرير الدخل صافي ﷺ النمو",
        "हिन्दी रिपोर्ट आय किताब",
        "ค้นหา รายงาน ภาษี",
        "漢字 報告 収入 東京都 報 字 がぎ ガギ ｶﾞｷﾞ 保存。検索",
        "보고서 각한 수입 순",
        "😀 👨‍👩‍👧 ½ ⑴ \u202eabc a_b C++ <b>bold</b> %s '' \\ :* & | ! ( )",
    )
]
LONG = "x" * 499, "x" * 500, "x" * 501, "x" * 500 + "y", "é" * 501, "漢" * 40, "z" * 40_000
PARTS = 120_000  # so many words need several parts in PostgreSQL
SEARCHES = 150
ROWS = 260


@dataclass(frozen=True)
class Engines:
    """The same history in both databases."""

    sqlite: Stores
    postgres: Stores


@pytest.fixture(scope="module", name="engines")
def _engines(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, new_postgres: Callable[[], PostgresDatabase]
) -> Iterator[Engines]:
    path = tmp_path_factory.mktemp("search") / "history.db"
    shutil.copyfile(empty_database, path)
    engines = Engines(Stores(SqliteDatabase(f"sqlite:///{path}")), Stores(new_postgres()))
    both = engines.sqlite, engines.postgres
    for store in both:
        fill(store)
    yield engines
    for store in both:
        store.close()


def fill(store: Stores) -> None:
    """The same rows at each call: answers, hits, calls that were joined, what failed, what runs, what was deleted."""
    dice, made = random.Random(7), list[Generation]()
    nasty = [word for word in NASTY if len(word) < 1000 and not {"\x00", "\ud800"} & set(word)]
    awkward = [*LONG, *nasty, "word " * 100_000, parted()]
    for number in range(ROWS):
        owner = dice.choice(("alice", "alice", "bob"))
        more: dict[str, Any] = {
            "model": dice.choice(("m1", "m1", "m2")),
            "template_id": dice.choice(("a_v1", "b_v1")),
            "owner": owner,
        }
        mine = [row for row in made if row.owner == owner]
        if mine and dice.random() < 0.3:
            shared = dice.choice(mine)
            hit = replace(shared, request_id=f"id-{number}", cached=True, created_ms=generation(number).created_ms)
            made.append(store.record_started(hit))
            continue
        asked = awkward.pop() if awkward and number % 3 == 0 else words(dice)
        begun = generation(number, input=asked, **more)
        store.start(begun)
        joined = store.record_started(replace(begun, request_id=f"id-{number}-joined")) if dice.random() < 0.1 else None
        if dice.random() < 0.05:
            continue
        status = dice.choice((Status.COMPLETED,) * 8 + (Status.FAILED, Status.INCOMPLETE))
        done = completed(begun, output=None if status is Status.FAILED else words(dice), status=status)
        assert store.finish(done)
        made.append(done)
        if joined:
            assert store.finish(replace(done, request_id=joined.request_id))
            made.append(replace(done, request_id=joined.request_id))
    assert len(awkward) == 0
    for row in dice.sample(made, 25):
        store.delete(row.owner, row.request_id)


def words(dice: random.Random) -> str:
    chosen = dice.choices(dice.choice(VOCABULARIES), k=dice.randrange(1, 30))
    if dice.random() < 0.3:
        chosen += dice.choices(VOCABULARIES[0], k=5)
    if dice.random() < 0.1:
        chosen.append(dice.choice(LONG))
    return dice.choice((" ", " ", "\n", ", ")).join(chosen)


@cache
def parted() -> str:
    return "first phrase " + " ".join(f"part{number}" for number in range(PARTS)) + " income net"


def queries(made: Sequence[Generation]) -> Iterator[str]:
    """Words, phrases, prefixes and exclusions that the texts have, and ones that they do not have."""
    dice = random.Random(5)
    yield from (
        "part7 income",
        "part7 -part8",
        "part77*",
        '"first phrase part0"',
        '"part2 part1"',
        "-part3",
        '-"net income"',
    )
    yield from (
        "rep* inc* gro* qua*",
        "rep* -inc* -gro*",
        "-the -a -of -net -tax -plan",
        "income -a -of -net -tax -plan",
    )
    yield from ("-the", "report", "nothing", "income nothing", '"x86 64"', *LONG[:6], LONG[1] + "*", "x" * 600, "xxx*")
    texts = [
        text for row in made for text in (row.input, row.output) if text and len(text) < 100_000 and words_of(text)
    ]
    for row in dice.sample([row for row in made if row.output and row.input.strip()], 10):
        yield f'"{row.input.split()[-1]} {(row.output or "").split()[0]}"'  # the input and the output are two texts
    for _ in range(SEARCHES):
        yield " ".join(term(dice, dice.choice(texts)) for _ in range(dice.choice((1, 1, 1, 2, 2, 3))))


def term(dice: random.Random, source: str) -> str:
    there = source.split()
    start = dice.randrange(len(there))
    some = there[start : start + dice.choice((1, 1, 2, 3))]
    kind = dice.randrange(7)
    if kind == 0:
        some.reverse()
    if kind == 1:
        return some[0][: dice.randrange(1, 6)] + "*"
    made = f'"{" ".join(some)}"' if kind < 5 else some[0]
    made = made.upper() if dice.random() < 0.2 else made
    return f"-{made}" if dice.random() < 0.25 else made


def reading(rows: Sequence[Generation], search: Search) -> list[str]:
    """The ids of the rows whose texts have the words: without any index."""
    return [
        row.request_id
        for row in rows
        if row.status is not Status.RUNNING
        and row.has_texts
        and all(has(row, wanted) for wanted in search.wanted)
        and not any(has(row, unwanted) for unwanted in search.unwanted)
    ]


def has(row: Generation, wanted: Term) -> bool:
    sought = f" {' '.join(wanted.words)}" + ("" if wanted.is_prefix else " ")
    return any(sought in spaced(text) for text in (row.input, row.output) if text)


@cache
def spaced(text: str) -> str:
    return f" {' '.join(words_of(text))} "


FEW, WALKS = {"few_documents": 1000, "first_window": 1}, {"few_documents": 0, "first_window": 3}


def ways(engines: Engines) -> Mapping[str, SqlHistoryQueries]:
    """Each way in which an engine may look for rows."""
    return {
        "sqlite": engines.sqlite.queries,
        "sqlite walks": SqlHistoryQueries(engines.sqlite.database, **WALKS),
        "postgres": engines.postgres.queries,
        "postgres looks up": SqlHistoryQueries(engines.postgres.database, **FEW),
        "postgres walks": SqlHistoryQueries(engines.postgres.database, **WALKS),
    }


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["alice", "bob"])
def test_every_way_finds_what_reading_the_texts_finds(engines: Engines, owner: str) -> None:
    rows = list(engines.sqlite.export(owner))
    assert [row.request_id for row in engines.postgres.export(owner)] == [row.request_id for row in rows]
    dice, found = random.Random(3), 0
    for query in queries(rows):
        search = parse_search(query)
        if not search.has_words:
            continue
        more = dice.choice(({}, {}, {"model": "m1"}, {"cached": True}, {"since_ms": 1_700_000_000_100}))
        fitting = [row for row in rows if all(fits(row, *item) for item in more.items())]
        expected = reading(fitting, search)
        found += len(expected)
        matches = None
        for way, store in dice.sample(list(ways(engines).items()), 3):
            answer = store.newest(owner, 1000, filters=Filters(search=search, **more))
            assert [row.request_id for _, row in answer] == expected, (way, query[:200], more)
            matches = matches or [row.match for _, row in answer]
            assert [row.match for _, row in answer] == matches, (way, query[:200])
    assert found > 500


def fits(row: Generation, name: str, value: object) -> bool:
    return row.created_ms >= int(str(value)) if name == "since_ms" else getattr(row, name) == value


@pytest.mark.slow
def test_pages_lead_through_the_same_rows_both_ways(engines: Engines) -> None:
    rows = list(engines.sqlite.export("alice"))
    for query, cached, max_scanned in (("the", None, 1000), ("-report", False, 30), ('"net income"', None, 30)):
        filters = Filters(search=parse_search(query), cached=cached)
        expected = reading([row for row in rows if cached in (None, row.cached)], parse_search(query))
        for way, store in ways(engines).items():
            assert both_ways(store, filters, max_scanned) == (expected, expected), (way, query)


def test_a_position_far_beyond_all_rows_is_as_good_as_none(engines: Engines) -> None:
    filters = Filters(search=parse_search("the"))
    for way, store in ways(engines).items():
        assert store.newest("alice", 5, before=10**18 - 1, filters=filters) == store.newest(
            "alice", 5, filters=filters
        ), way
        assert store.newest("alice", 5, after=10**18 - 1, filters=filters) == [], way


def both_ways(store: SqlHistoryQueries, filters: Filters, max_scanned: int) -> tuple[list[str], list[str]]:
    """All pages there, and all pages back."""
    history = HistoryService(None, store, None, None, None, max_scanned=max_scanned)  # type: ignore[arg-type]
    page = history.page("alice", None, 7, filters)
    there = [row.request_id for row in page.items]
    while page.next:
        page = history.page("alice", page.next, 7, filters)
        there += [row.request_id for row in page.items]
    back = [row.request_id for row in page.items]
    while page.prev:
        page = history.page("alice", page.prev, 7, filters)
        back = [row.request_id for row in page.items] + back
    return there, back


@pytest.mark.slow
def test_no_text_fails_to_be_indexed(new_postgres: Callable[[], PostgresDatabase]) -> None:
    """And each is found by its last word, and gone when it is deleted."""
    dice = random.Random(9)
    texts = [
        " ".join("".join(dice.choices("abcdefghij", k=9)) for _ in range(2 * 2**20 // 10)),
        "a" * 2 * 2**20,
        "é" * 2**20,
        " ".join("".join(dice.choices("abc", k=3000)) for _ in range(200)),
        "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(100_000)),
        "😀" * 10_000 + "last",
        "#parted @616c696365 #0 'quoted' \\ " + "\u202e\ufeff\ufffe\U0010ffff last",
    ]
    store = Stores(new_postgres())
    for number, asked in enumerate(texts):
        store.start(generation(number, input=asked))
        assert store.finish(completed(generation(number, input=asked), output=None))
    for number, asked in enumerate(texts):
        last = Search((Term((words_of(asked)[-1][:600],), is_prefix=True),))
        assert f"id-{number}" in [row.request_id for _, row in store.newest("alice", 10, filters=Filters(search=last))]
    for number in range(len(texts)):
        store.delete("alice", f"id-{number}")
    left = store.database.read(lambda connection: connection.execute(text("SELECT * FROM search_documents")).all())
    store.close()
    assert left == []
