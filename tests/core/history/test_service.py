"""Pages of the history, both ways, and what deleting reaches."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from llm_service.core.errors import InvalidInput, NotFound
from llm_service.core.generation.model import Generation, GenerationSummary
from llm_service.core.history.model import Filters, Page
from llm_service.core.history.search import Search, parse_search
from llm_service.core.history.service import MAX_PAGE, MAX_SEARCH_CHARS, HistoryService, read_search
from tests.support.builders import completed, generation


class Rows:
    """A store of one owner's rows, at positions 1, 2, 3...; `asked` counts its lists."""

    def __init__(self, count: int) -> None:
        self.rows = {number: completed(generation(number)) for number in range(1, count + 1)}
        self.asked = 0

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        stop: int | None = None,
        filters: Filters,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        self.asked += 1
        found = sorted(
            (position for position, row in self.rows.items() if row.owner == owner),
            reverse=after is None,
        )
        if after is not None:
            near = [position for position in found if position > after][:limit]
            return [(position, self.rows[position]) for position in reversed(near)]
        return [(position, self.rows[position]) for position in found if before is None or position < before][:limit]

    def position_of(self, owner: str, nth: int, *, before: int | None = None, after: int | None = None) -> int | None:
        return None

    def get(self, owner: str, request_id: str) -> Generation | None:
        return next((row for row in self.rows.values() if (row.owner, row.request_id) == (owner, request_id)), None)

    def export(self, owner: str, filters: Filters) -> Iterator[Generation]:
        return reversed(list(self.rows.values()))

    def delete(self, owner: str, request_id: str) -> str | None:
        row = self.get(owner, request_id)
        if row is None:
            return None
        self.rows = {position: kept for position, kept in self.rows.items() if kept is not row}
        return row.cache_key

    def delete_all(self, owner: str) -> int:
        deleted, self.rows = len(self.rows), {}
        return deleted


class Surroundings:
    """The cache and the running generations of the service: what they are told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def cancel(self, owner: str, request_id: str) -> None:
        self.told.append(("cancel", owner, request_id))

    def cancel_all(self, owner: str) -> None:
        self.told.append(("cancel all", owner))

    def cancel_deleted(self) -> None:
        self.told.append(("cancel deleted",))

    def discard(self, key: str) -> None:
        self.told.append(("discard", key))

    def discard_owner(self, owner: str) -> None:
        self.told.append(("discard owner", owner))


def history_of(rows: Any, around: Any = None) -> HistoryService:
    around = around or Surroundings()
    return HistoryService(rows, rows, rows, around, around)


def ids(page: Page) -> list[int]:
    return [int(row.request_id.removeprefix("id-")) for row in page.items]


def test_pages_lead_through_everything_and_back() -> None:
    history, pages = history_of(Rows(7)), list[Page]()
    cursor: str | None = None
    while not pages or (cursor := pages[-1].next):
        pages.append(history.page("alice", cursor, limit=3))
    assert [ids(page) for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages[0].prev is None
    for newer, older in pairwise(pages):
        assert ids(history.page("alice", older.prev, limit=3)) == ids(newer)


def test_a_page_that_is_just_full_leads_nowhere() -> None:
    page = history_of(Rows(3)).page("alice", limit=3)
    assert (ids(page), page.next, page.prev) == ([3, 2, 1], None, None)
    assert history_of(Rows(0)).page("alice") == Page([], None, None)


def test_new_rows_do_not_move_a_page() -> None:
    rows = Rows(4)
    first = history_of(rows).page("alice", limit=2)
    rows.rows[5] = completed(generation(5))
    second = history_of(rows).page("alice", first.next, limit=2)
    assert ids(second) == [2, 1]
    assert ids(history_of(rows).page("alice", second.prev, limit=2)) == [4, 3]


def test_where_the_rows_of_a_page_are_gone_it_leads_to_those_that_are_left() -> None:
    rows = Rows(4)
    history = history_of(rows)
    first = history.page("alice", limit=2)
    rows.rows = {4: rows.rows[4], 3: rows.rows[3]}
    empty = history.page("alice", first.next, limit=2)
    assert (ids(empty), empty.next) == ([], None)
    assert ids(history.page("alice", empty.prev, limit=2)) == [4, 3]
    rows.rows = {}
    assert history.page("alice", first.next, limit=2) == Page([], None, None)


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
def test_a_limit_out_of_bounds(limit: int) -> None:
    with pytest.raises(InvalidInput) as raised:
        history_of(Rows(1)).page("alice", limit=limit)
    assert raised.value.fields[0].field == "limit"


@pytest.mark.parametrize("cursor", ["", "b", "5", "x5", "b-1", "b5 ", "b" + "9" * 19, "b٣", "B5"])
def test_a_cursor_that_no_page_gave(cursor: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        history_of(Rows(1)).page("alice", cursor)
    assert raised.value.fields[0].field == "cursor"


def test_a_search_without_a_word_finds_nothing_and_asks_nothing() -> None:
    rows = Rows(3)
    filters = Filters(search=parse_search("!!!"))
    assert history_of(rows).page("alice", filters=filters) == Page([], None, None)
    assert list(history_of(rows).export("alice", filters)) == []
    assert rows.asked == 0
    assert len(list(history_of(rows).export("alice"))) == 3


def test_another_owner_s_generation_is_not_found() -> None:
    history = history_of(Rows(1))
    assert history.get("alice", "id-1").request_id == "id-1"
    for owner, request_id in (("bob", "id-1"), ("alice", "id-2")):
        with pytest.raises(NotFound):
            history.get(owner, request_id)
        with pytest.raises(NotFound):
            history.delete(owner, request_id)


def test_what_is_deleted_is_stopped_first_and_gone_from_the_cache() -> None:
    rows, around = Rows(3), Surroundings()
    history_of(rows, around).delete("alice", "id-2")
    assert around.told == [("cancel", "alice", "id-2"), ("discard", "k" * 64)]
    assert history_of(rows, around).delete_all("alice") == 2
    assert around.told[2:] == [("cancel all", "alice"), ("discard owner", "alice"), ("cancel deleted",)]


@pytest.mark.parametrize(("text", "search"), [(None, None), ("", None), (" \n", None), ("a", parse_search("a"))])
def test_what_somebody_typed_is_a_search_or_none(text: str | None, search: Search | None) -> None:
    assert read_search("q", text) == search


def test_only_a_search_that_is_too_long_is_refused() -> None:
    assert read_search("q", "a" * MAX_SEARCH_CHARS) is not None
    with pytest.raises(InvalidInput) as raised:
        read_search("q", "a" * (MAX_SEARCH_CHARS + 1))
    assert raised.value.fields[0].field == "q"
