"""Stars, tags and counts: what every store promises."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, insert, select

from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.marks import MAX_COUNTED
from llm_service.adapters.sql.tables import generation_tags
from llm_service.core.errors import NotFound
from llm_service.core.generation.model import Status
from llm_service.core.history.model import Count, Filters, MarkChanges
from llm_service.core.history.search import parse_search
from llm_service.core.history.service import MAX_SEARCH_COUNTED, HistoryService
from tests.support.builders import completed, generation
from tests.support.constants import POOLED_ENGINES
from tests.support.stored_rows import NoCache, hit_of, ids, said, stored
from tests.support.stores import Stores

NOW_MS = 1_700_000_100_000


@pytest.fixture(name="store", params=POOLED_ENGINES)
def _store(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[Stores]:
    store = Stores(new_database_of(request.param))
    yield store
    store.close()


def history_of(store: Stores, **options: int) -> HistoryService:
    return HistoryService(
        store.generations, store.queries, store.retention, NoCache(), store.running(), marks=store.marks, **options  # type: ignore[arg-type]
    )  # fmt: skip


def mark(store: Stores, number: int, owner: str = "alice", *, starred: bool | None = None, tags: str = "") -> bool:
    """`tags`: by blanks."""
    changes = MarkChanges(starred, tuple(tags.split()) if tags else None)
    return store.marks.change(owner, f"id-{number}", changes, NOW_MS)


def tag_rows(store: Stores) -> int:
    query = select(func.count()).select_from(generation_tags)
    return store.database.read(lambda connection: connection.execute(query).scalar_one())


def test_marks_are_set_shown_and_removed(store: Stores) -> None:
    stored(store, 1)
    stored(store, 2)
    assert mark(store, 1, starred=True, tags="b Ä a")
    history = history_of(store)
    whole = history.get("alice", "id-1")
    assert (whole.starred, whole.tags) == (True, ("a", "b", "Ä"))
    assert [(row.starred, row.tags) for row in history.page("alice").items] == [(False, ()), (True, ("a", "b", "Ä"))]
    assert [(row.starred, row.tags) for row in history.export("alice")] == [(False, ()), (True, ("a", "b", "Ä"))]
    history.mark("alice", "id-1", MarkChanges(tags=("c",)), NOW_MS)
    assert (history.get("alice", "id-1").starred, history.get("alice", "id-1").tags) == (True, ("c",))
    history.mark("alice", "id-1", MarkChanges(starred=False), NOW_MS)
    assert (history.get("alice", "id-1").starred, history.get("alice", "id-1").tags) == (False, ("c",))
    history.mark("alice", "id-1", MarkChanges(tags=()), NOW_MS)
    assert history.get("alice", "id-1").tags == ()


def test_nobody_marks_what_others_own(store: Stores) -> None:
    stored(store, 1, "alice")
    assert not mark(store, 1, "bob", starred=True, tags="mine")
    assert not mark(store, 2, starred=True)
    with pytest.raises(NotFound):
        history_of(store).mark("bob", "id-1", MarkChanges(starred=True), NOW_MS)
    mark(store, 1, tags="hers")
    assert store.marks.tags_of("bob", "id-1") == ()
    assert (store.marks.used_tags("bob", 9), store.marks.used_tags("alice", 9)) == ([], [("hers", 1)])
    assert ids(store, "bob", tag="hers") == []


def test_filters_by_star_and_tag(store: Stores) -> None:
    for number in range(1, 5):
        said(store, number, f"text {number}")
    mark(store, 1, starred=True, tags="work")
    mark(store, 3, starred=True)
    mark(store, 4, tags="work private")
    assert ids(store, starred=True) == ["id-3", "id-1"]
    assert ids(store, starred=False) == ["id-4", "id-2"]
    assert ids(store, tag="work") == ["id-4", "id-1"]
    assert ids(store, tag="work", starred=True) == ["id-1"]
    assert ids(store, tag="wor") == ids(store, tag="WORK") == []
    assert ids(store, q="text", tag="work") == ["id-4", "id-1"]
    assert ids(store, request_ids=("id-2", "id-4", "id-9")) == ["id-4", "id-2"]
    assert ids(store, "bob", request_ids=("id-2",)) == []
    assert store.marks.used_tags("alice", 9) == [("work", 2), ("private", 1)]
    assert store.marks.used_tags("alice", 1) == [("work", 2)]


def test_the_used_tags_are_those_of_the_newest(store: Stores) -> None:
    """Each page of the history asks for them: the time must not grow with it."""
    rows = [{"owner": "alice", "tag": "new", "position": position} for position in range(2, MAX_COUNTED + 2)]
    store.database.write(
        lambda connection: connection.execute(
            insert(generation_tags), [{"owner": "alice", "tag": "old", "position": 1}, *rows]
        )
    )
    assert store.marks.used_tags("alice", 9) == [("new", MAX_COUNTED)]


def test_pages_of_marked_rows_reach_through_a_long_history(store: Stores) -> None:
    """An index finds them, so that the bound on how many rows a page looks at does not hide them."""
    for number in range(1, 9):
        stored(store, number)
    mark(store, 1, starred=True, tags="old")
    history = history_of(store, max_scanned=3)
    for filters in (Filters(starred=True), Filters(tag="old"), Filters(request_ids=("id-1",))):
        page = history.page("alice", filters=filters)
        assert ([row.request_id for row in page.items], page.next) == (["id-1"], None)
        assert history.count("alice", filters) == Count(1)


def test_an_outcome_leaves_the_marks(store: Stores) -> None:
    running = generation(1)
    store.start(running)
    mark(store, 1, starred=True, tags="seen")
    assert store.finish(completed(running))
    stored_now = history_of(store).get("alice", "id-1")
    assert (stored_now.status, stored_now.starred, stored_now.tags) == (Status.COMPLETED, True, ("seen",))
    store.start(generation(2))
    mark(store, 2, starred=True, tags="seen")
    store.interrupt("id-2")
    assert ids(store, tag="seen", starred=True) == ["id-2", "id-1"]


def test_marks_go_with_their_generation(store: Stores) -> None:
    first = stored(store, 1)
    store.record_started(hit_of(first, 2))
    for number in (3, 4):
        stored(store, number)
    stored(store, 5, "bob")
    for number in range(1, 5):
        mark(store, number, starred=True, tags="t u")
    mark(store, 5, "bob", tags="t")
    store.delete("alice", "id-1")
    assert (ids(store, tag="t"), tag_rows(store)) == (["id-4", "id-3", "id-2"], 7)
    # Stars do not keep a row longer than the service keeps its history.
    assert store.prune(1_700_000_000_004) == 2
    assert (ids(store, tag="t"), tag_rows(store)) == (["id-4"], 3)
    store.delete_all("alice")
    assert (tag_rows(store), store.marks.used_tags("bob", 9)) == (1, [("t", 1)])


def test_selected_rows_are_deleted(store: Stores) -> None:
    for number in range(1, 4):
        stored(store, number)
    stored(store, 4, "bob")
    assert history_of(store).delete_selected("alice", ["id-1", "id-3", "id-4", "id-9", "id-1"]) == 2
    assert (ids(store), ids(store, "bob")) == (["id-2"], ["id-4"])


def test_results_are_counted(store: Stores) -> None:
    for number in range(1, 8):
        said(store, number, "even words" if number % 2 == 0 else "odd words", model=f"m{number % 2}")
    stored(store, 8, "bob")
    history = history_of(store)
    assert history.count("alice") == Count(7)
    assert history.count("alice", Filters(model="m0")) == Count(3)
    assert history.count("alice", Filters(search=parse_search("even"))) == Count(3)
    assert history.count("alice", Filters(search=parse_search("words"), model="m1")) == Count(4)
    assert history.count("alice", Filters(search=parse_search("!!!"))) == Count(0)
    assert store.queries.count("alice", 5) == store.queries.count("alice", 5, filters=Filters(search=parse_search("words"))) == 5  # fmt: skip
    # With filters, it looks no further than a page does, and says so.
    assert history_of(store, max_scanned=4).count("alice", Filters(model="m0")) == Count(2, scanned=4)


def test_only_so_many_results_are_counted(store: Stores) -> None:
    first = said(store, 1, "word")
    for number in range(2, MAX_SEARCH_COUNTED + 2):
        store.record_started(hit_of(first, number))
    history = history_of(store)
    assert history.count("alice", Filters(search=parse_search("word"))) == Count(MAX_SEARCH_COUNTED, is_capped=True)
    assert history.count("alice") == Count(MAX_SEARCH_COUNTED + 1)


def test_the_neighbours_of_an_entry(store: Stores) -> None:
    for number in range(1, 6):
        said(store, number, f"text {number}", model=f"m{number % 2}")
    history = history_of(store)

    def beside(number: int, **filters: str) -> list[str | None]:
        pair = history.neighbours("alice", f"id-{number}", Filters(**filters))  # type: ignore[arg-type]
        return [None if row is None else row.request_id for row in pair]

    assert [beside(3), beside(5), beside(1)] == [["id-4", "id-2"], [None, "id-4"], ["id-2", None]]
    assert [beside(3, model="m1"), beside(4, model="m1")] == [["id-5", "id-1"], ["id-5", "id-3"]]
    assert history.neighbours("bob", "id-3") == (None, None)
    found = history.neighbours("alice", "id-3", Filters(search=parse_search("text -4")))
    assert [row and row.request_id for row in found] == ["id-5", "id-2"]
