"""Exports hold few texts at a time, and leave nothing out."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.history.model import Filters
from llm_service.core.history.search import parse_search
from llm_service.web.exports import MAX_CHUNK_CHARS, chunked, export_pieces
from tests.support.builders import completed, generation
from tests.support.stores import Stores

MIB = 1024 * 1024
LARGE, SMALL = 40, 300


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Of alice: forty answers of a mebibyte, then many small ones; of bob: one between any two."""
    store = Stores(Database(f"sqlite:///{tmp_path_factory.mktemp('export')}/h.db"))
    for number in range(LARGE + SMALL):
        made = generation(number)
        store.start(made)
        store.finish(completed(made, output="word " * (MIB // 5) if number < LARGE else "word"))
        store.start(generation(1000 + number, "bob"))
    yield store
    store.close()


@pytest.mark.parametrize("search", [None, "word"])
def test_an_export_holds_a_few_texts_and_not_those_of_two_hundred_rows(store: Stores, search: str | None) -> None:
    filters = Filters(search=parse_search(search) if search else None)
    tracemalloc.start()
    try:
        numbers = [row.created_ms - generation(0).created_ms for row in store.export("alice", filters)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert numbers == list(reversed(range(LARGE + SMALL)))
    assert peak < 8 * MIB


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_between_two_chunks_a_reader_holds_a_few_copies_of_a_row(store: Stores, format: str) -> None:
    tracemalloc.start()
    try:
        pieces = chunked(export_pieces(store.export("alice"), SystemClock(), format))
        held = [tracemalloc.get_traced_memory()[0] for _ in pieces]
    finally:
        tracemalloc.stop()
    assert max(held) < 5 * MIB


def test_rows_that_are_deleted_meanwhile_are_left_out(tmp_path: Path) -> None:
    store = Stores(Database(f"sqlite:///{tmp_path}/h.db"))
    for number in range(12):
        store.start(completed(generation(number), input="i" * MIB))
    rows = store.export("alice")
    seen = [next(rows).request_id]
    for number in (10, 9, 8, 3, 0):
        store.delete("alice", f"id-{number}")
    seen += [row.request_id for row in rows]
    assert seen == [f"id-{number}" for number in (11, 7, 6, 5, 4, 2, 1)]
    store.close()


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_a_long_row_is_sent_in_chunks(format: str) -> None:
    long = completed(generation(1), output="é" * 3 * MIB)
    chunks = list(chunked(export_pieces(iter([long, generation(2)]), SystemClock(), format)))
    assert max(map(len, chunks)) <= MAX_CHUNK_CHARS
    assert "".join(chunks).count("é") == 3 * MIB
    if format == "jsonl":
        outputs = [json.loads(line)["output"] for line in "".join(chunks).splitlines()]
        assert outputs == ["é" * 3 * MIB, None]


def test_a_deletion_of_many_long_texts_holds_a_few(tmp_path: Path) -> None:
    store = Stores(Database(f"sqlite:///{tmp_path}/h.db"))
    for number in range(40):
        store.start(completed(generation(number), input="i" * MIB))
    store.start(generation(99, "bob"))
    tracemalloc.start()
    try:
        assert store.delete_all("alice") == 40
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB
    assert (list(store.export("alice")), [row.request_id for row in store.export("bob")]) == ([], ["id-99"])
    store.close()
