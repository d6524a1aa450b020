"""What every history store promises. A second database is one more param.

Longer than other modules: what a new store must keep is in one place.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from llm_service.adapters.sql.database import Database
from llm_service.core.errors import InvalidInput, NotFound
from llm_service.core.generation.model import (
    AnswerWarning,
    Generation,
    IdempotencyKey,
    KeyHolder,
    Status,
)
from llm_service.core.generation.tried_models import TriedModel
from llm_service.core.history.model import Filters, Page
from llm_service.core.history.search import EXCERPTED_CHARS, parse_search
from llm_service.core.history.service import HistoryService
from llm_service.core.usage.tokens import NOT_REPORTED, Usage
from tests.support.builders import completed, generation, messages_of
from tests.support.constants import POOLED_ENGINES
from tests.support.hostile import NASTY
from tests.support.stored_rows import NoCache, hit_of, ids, said, stored
from tests.support.stores import Stores


@pytest.fixture(name="store", params=["sqlite", "sqlite that walks", *POOLED_ENGINES[1:]])
def _store(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[Stores]:
    """The second goes through its documents in order for every search, as the first does where it finds many."""
    makers = {
        "sqlite": lambda: Stores(new_database_of("sqlite")),
        "sqlite that walks": lambda: Stores(new_database_of("sqlite"), few_documents=0, first_window=3),
        "postgres": lambda: Stores(new_database_of("postgres")),
        "pgbouncer": lambda: Stores(new_database_of("pgbouncer")),
    }
    store = makers[request.param]()
    yield store
    store.close()


def history_of(store: Stores, cache: "NoCache", **options: int) -> HistoryService:
    return HistoryService(store.generations, store.queries, store.retention, cache, store.running(), **options)  # type: ignore[arg-type]


def test_a_generation_comes_back_whole(store: Stores) -> None:
    running = generation(1)
    store.start(running)
    assert store.get("alice", "id-1") == running
    done = completed(
        running, cost_usd=Decimal("0.000000000012"), saved_usd=Decimal("0"), price_version="p1",
        upstream_request_id="req", incomplete_reason=None, unreported=2,
        warnings=(AnswerWarning("input-truncated", "The \u2028 half."), AnswerWarning("other", "")),
    )  # fmt: skip
    assert store.finish(done)
    assert store.get("alice", "id-1") == done


def test_options_come_back(store: Stores) -> None:
    made = generation(1, options={"temperature": 0.25, "max_output_tokens": 100})
    store.start(made)
    assert store.get("alice", "id-1") == made
    store.finish(completed(made))
    assert [found.options for found in store.export("alice")] == [made.options]


@pytest.mark.parametrize("amount", ["0", "0.0001", "0.00000003", "1234567.123456", "0.000000000001"])
def test_money_is_exact(store: Stores, amount: str) -> None:
    stored(store, 1, cost_usd=Decimal(amount))
    found = store.get("alice", "id-1")
    assert found is not None
    assert found.cost_usd == Decimal(amount)
    assert f"{found.cost_usd:f}" == amount


@pytest.mark.parametrize(
    "text",
    [
        "😀 👨‍👩‍👧‍👦",
        "e\u0301 é",
        "\ufffe\uffff",
        "\u202eabc\u2066",
        "\u2028\u2029\r\n",
        "'; DROP TABLE answers; --",
        "x" * 300_000,
    ],
)
def test_text_comes_back_as_it_was(store: Stores, text: str) -> None:
    made = generation(1, input=text, messages=messages_of(text, text), parameters={"a": text, text[:9]: [text[:5]]})
    store.start(made)
    store.finish(completed(made, output=text))
    assert store.get("alice", "id-1") == completed(made, output=text)


def test_every_owner_is_alone(store: Stores) -> None:
    done = stored(store, 1, "alice")
    stored(store, 2, "bob")
    assert store.get("bob", "id-1") is None
    assert [row.request_id for _, row in store.newest("bob", 10)] == ["id-2"]
    assert [row.request_id for row in store.export("bob")] == ["id-2"]
    assert store.delete("bob", "id-1") is None
    assert store.finish(replace(done, owner="bob", output="stolen")) is False
    assert store.delete_all("bob") == 1
    assert store.get("alice", "id-1") == done


def test_whose_a_generation_is(store: Stores) -> None:
    """For those who may see everybody's."""
    stored(store, 1, "alice")
    stored(store, 2, "bob")
    assert [store.owner_of(name) for name in ("id-1", "id-2", "id-3", "", "' OR 1=1 --")] == [
        "alice",
        "bob",
        None,
        None,
        None,
    ]


def test_pages_lead_through_all_rows_both_ways(store: Stores) -> None:
    for number in range(1, 8):
        stored(store, number)
    history = history_of(store, NoCache())
    first = history.page("alice", limit=3)
    second = history.page("alice", first.next, 3)
    third = history.page("alice", second.next, 3)
    assert [[row.request_id for row in page.items] for page in (first, second, third)] == [
        ["id-7", "id-6", "id-5"], ["id-4", "id-3", "id-2"], ["id-1"],
    ]  # fmt: skip
    assert (first.prev, third.next) == (None, None)
    assert history.page("alice", third.prev, 3).items == second.items
    back = history.page("alice", second.prev, 3)
    assert (back.items, back.prev, back.next) == (first.items, None, first.next)
    stored(store, 8)
    assert [row.request_id for row in history.page("alice", second.prev, 3).items] == ["id-7", "id-6", "id-5"]
    assert history.page("alice", second.prev, 3).prev is not None, "there is a newer one now"


def test_a_cursor_whose_rows_are_gone_leads_back(store: Stores) -> None:
    for number in range(1, 6):
        stored(store, number)
    history = history_of(store, NoCache())
    newest = history.page("alice", limit=2)
    middle = history.page("alice", newest.next, 2)
    for number in (1, 5, 4):
        store.delete("alice", f"id-{number}")
    older = history.page("alice", middle.next, 2)
    newer = history.page("alice", middle.prev, 2)
    assert (list(older.items), older.next, list(newer.items), newer.prev) == ([], None, [], None)
    for cursor in (older.prev, newer.next):
        assert {row.request_id for row in history.page("alice", cursor, 2).items} == {"id-3", "id-2"}
    store.delete_all("alice")
    gone = history.page("alice", middle.next, 2)
    assert (list(gone.items), gone.next, gone.prev) == ([], None, None)


def test_an_id_or_a_filter_with_nul_finds_nothing(store: Stores) -> None:
    """Addresses may have one, and PostgreSQL cannot store it."""
    stored(store, 1)
    assert store.get("alice", "id-\0") is None
    assert store.owner_of("id-\0") is None
    assert store.delete("alice", "id-\0") is None
    assert store.queries.newest("alice", 10, filters=Filters(model="\0")) == []


@pytest.mark.parametrize("search", [None, "needle", "-needle output"])
def test_a_page_with_filters_looks_at_so_many_rows_and_leads_on(store: Stores, search: str | None) -> None:
    """Rows of another owner count for nothing: who has few rows among many gets them at once."""
    for number in range(1, 41):
        is_match = number in (5, 6, 33)
        stored(store, number, "alice", output="needle" if is_match == (search != "-needle output") else "output")
        stored(store, 100 + number, "bob")
    history = history_of(store, NoCache(), max_scanned=10)
    filters = Filters(template_id="no_such_v1") if search is None else Filters(search=parse_search(search))
    expected = [[], [], [], []] if search is None else [["id-33"], [], [], ["id-6", "id-5"]]

    def ids(page: Page) -> list[str]:
        return [item.request_id for item in page.items]

    pages = [history.page("alice", filters=filters)]
    while pages[-1].next is not None:
        pages.append(history.page("alice", pages[-1].next, filters=filters))
    assert [ids(page) for page in pages[:4]] == expected
    assert all(ids(page) == [] for page in pages[4:])
    assert len(pages) <= 5
    back = [history.page("alice", "n0", filters=filters)]
    while back[-1].prev is not None:
        back.append(history.page("alice", back[-1].prev, filters=filters))
    assert [name for page in back[::-1] for name in ids(page)] == [name for page in pages for name in ids(page)]
    assert len(back) <= 5
    assert len(history.page("alice", limit=200).items) == 40, "without filters nothing is scanned for"


def test_the_position_of_a_row(store: Stores) -> None:
    for number in range(1, 6):
        stored(store, number, "alice")
        stored(store, 10 + number, "bob")
    positions = [position for position, _ in store.newest("alice", 10)]
    find = store.queries.position_of
    assert [find("alice", nth) for nth in (1, 2, 5, 6)] == [positions[0], positions[1], positions[4], None]
    assert find("alice", 2, before=positions[1]) == positions[3]
    assert find("alice", 2, after=positions[3]) == positions[1]
    assert find("nobody", 1) is None


def test_an_empty_page(store: Stores) -> None:
    page = history_of(store, NoCache()).page("alice")
    assert (list(page.items), page.next, page.prev) == ([], None, None)


@pytest.mark.parametrize("cursor", ["", "x", "b", "c1", "b1 ", "b-1", "n1e9", "é", "b" + "1" * 500, "b\u0661"])
def test_a_cursor_that_no_page_gave(store: Stores, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        history_of(store, NoCache()).page("alice", cursor)


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
def test_a_limit_out_of_bounds(store: Stores, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        history_of(store, NoCache()).page("alice", limit=limit)


def test_a_list_reads_no_texts(store: Stores) -> None:
    stored(store, 1)
    ((_, summary),) = store.newest("alice", 10)
    assert (summary.snippet, summary.usage.total_tokens, summary.status) == ("input 1", 3, Status.COMPLETED)
    assert not hasattr(summary, "output")


def test_export_has_every_row_newest_first(store: Stores) -> None:
    for number in range(450):
        store.start(generation(number))
    assert [row.request_id for row in store.export("alice")] == [f"id-{number}" for number in reversed(range(450))]


def test_a_hit_shares_the_texts_of_its_answer_until_the_last_row_goes(store: Stores) -> None:
    first = stored(store, 1)
    store.record_started(hit_of(first, 2))
    assert store.get("alice", "id-2") == hit_of(first, 2)
    assert store.delete("alice", "id-1") == "k" * 64
    assert store.get("alice", "id-2") == hit_of(first, 2), "its texts are still there"
    store.delete("alice", "id-2")
    store.record_started(hit_of(first, 3))
    kept = store.get("alice", "id-3")
    assert kept is not None
    assert (kept.answer_id, kept.output) == ("id-3", "out"), "the shared texts were gone: it keeps its own"


def test_deleted_is_gone(store: Stores) -> None:
    for number in (1, 2, 3):
        stored(store, number)
    cache = NoCache()
    history = history_of(store, cache)
    history.delete("alice", "id-2")
    with pytest.raises(NotFound):
        history.get("alice", "id-2")
    with pytest.raises(NotFound):
        history.delete("alice", "id-2")
    assert history.delete_all("alice") == 2
    assert list(store.export("alice")) == []
    assert cache.discarded == ["k" * 64, "owner alice"]


def test_what_was_deleted_while_it_ran_stays_deleted(store: Stores) -> None:
    running = generation(1)
    store.start(running)
    store.delete("alice", "id-1")
    assert store.finish(completed(running)) is False
    assert store.get("alice", "id-1") is None


def test_positions_are_never_given_again(store: Stores) -> None:
    stored(store, 1)
    ((position, _),) = store.newest("alice", 1)
    store.delete_all("alice")
    stored(store, 2)
    ((later, _),) = store.newest("alice", 1)
    assert later > position


def test_a_row_that_joined_a_call_and_then_makes_it_has_an_attempt(store: Stores) -> None:
    """If its process dies, too, what it reserved is charged. A row that is over does not change."""
    store.start(generation(1))
    store.generations.record_started(joined := replace(generation(1), request_id="id-2"))
    over = stored(store, 3)
    for each in (joined, over):
        store.generations.transaction(lambda unit, each=each: unit.generations.begin_call(each))  # type: ignore[misc]
    assert store.get("alice", "id-2") == replace(joined, attempts=1)
    assert store.get("alice", "id-3") == over
    store.interrupt("id-2")
    row = store.get("alice", "id-2")
    assert row is not None
    assert (row.status, row.attempts) == (Status.INTERRUPTED, 1)


def test_only_unfinished_rows_that_are_named_are_interrupted(store: Stores) -> None:
    store.start(generation(1))
    stored(store, 2)
    store.start(generation(500))
    assert store.generations.unfinished_ids() == {"id-1", "id-500"}
    assert store.interrupt("id-1", "id-2", "id-3") == 1
    rows = {row.request_id: row for _, row in store.newest("alice", 10)}
    assert (rows["id-1"].status, rows["id-1"].error) == (Status.INTERRUPTED, "interrupted")
    assert store.running_ids() == {"id-500"}
    assert (rows["id-2"].status, rows["id-500"].status) == (Status.COMPLETED, Status.RUNNING)


def test_the_same_id_twice_is_refused(store: Stores) -> None:
    store.start(generation(1))
    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        store.start(generation(1))
    assert len(store.newest("alice", 10)) == 1


KEY = IdempotencyKey("/api/v1/generate", "k-1", "f" * 64)


def test_a_key_stands_for_one_request(store: Stores) -> None:
    assert store.idempotency.claim("alice", KEY, "id-1", 1000) is None
    assert store.idempotency.claim("alice", KEY, "id-2", 1000) == KeyHolder("id-1", "f" * 64)
    assert store.idempotency.claim("bob", KEY, "id-3", 1000) is None, "each owner has keys of its own"
    assert store.idempotency.claim("alice", replace(KEY, route="/other"), "id-4", 1000) is None
    store.idempotency.release("alice", KEY, "id-9")
    assert store.idempotency.claim("alice", KEY, "id-2", 1000) == KeyHolder("id-1", "f" * 64), (
        "only its holder gives it back"
    )
    store.idempotency.release("alice", KEY, "id-1")
    assert store.idempotency.claim("alice", KEY, "id-2", 1000) is None


@pytest.mark.parametrize("status", list(Status))
def test_only_a_request_that_runs_or_answered_holds_its_key(store: Stores, status: Status) -> None:
    assert store.idempotency.claim("alice", KEY, "id-1", 1000) is None
    store.start(generation(1))
    if status is not Status.RUNNING:
        store.finish(completed(generation(1), status=status))
    holds = status in (Status.RUNNING, Status.COMPLETED, Status.INCOMPLETE)
    assert (store.idempotency.claim("alice", KEY, "id-2", 10**6) is not None) is holds


def test_keys_live_a_day_and_go_with_their_generation(store: Stores) -> None:
    day_ms = 24 * 3600 * 1000
    store.idempotency.claim("alice", KEY, "id-1", 1000)
    stored(store, 1)
    assert store.idempotency.claim("alice", KEY, "id-2", 1000 + day_ms) is None
    stored(store, 2)
    store.delete("alice", "id-2")
    assert store.idempotency.claim("alice", KEY, "id-3", 1000) is None
    assert (store.idempotency.prune(1000 + day_ms), store.idempotency.prune(1001 + day_ms)) == (0, 1)


def test_a_key_whose_process_died_at_once_is_free_after_a_minute(store: Stores) -> None:
    store.idempotency.claim("alice", KEY, "id-1", 1000)
    assert store.idempotency.claim("alice", KEY, "id-2", 60_000) is not None
    assert store.idempotency.claim("alice", KEY, "id-2", 62_000) is None


def test_one_that_ends_apart_takes_its_texts_along(store: Stores) -> None:
    """The one who began a shared call is stopped; the other gets the whole answer, and neither sees the other's."""
    store.start(generation(1))
    shared = store.record_started(generation(2, answer_id="id-1"))
    stopped = replace(generation(1), status=Status.CANCELLED, error="cancelled", output="par", finished_ms=5)
    assert store.finish_with_own_answer(stopped, "texts-1") is True
    assert store.finish(completed(shared, output="partial and whole")) is True
    first, second = store.get("alice", "id-1"), store.get("alice", "id-2")
    assert first
    assert second
    assert (first.output, first.answer_id, second.output, second.answer_id) == (
        "par",
        "texts-1",
        "partial and whole",
        "id-1",
    )
    assert first.input == "input 1"


def test_one_who_ends_apart_after_the_answer_is_there_is_found_with_its_own_text(store: Stores) -> None:
    store.start(generation(1, input="hello"))
    joined = store.record_started(generation(2, answer_id="id-1", input="hello"))
    store.finish(completed(generation(1, input="hello"), output="whole zebra"))
    store.finish_with_own_answer(replace(joined, status=Status.CANCELLED, output="whole", finished_ms=5), "texts-2")
    assert ids(store, q="zebra") == ["id-1"]
    assert ids(store, q="hello whole") == ["id-2", "id-1"]
    store.delete("alice", "id-2")
    assert ids(store, q="hello") == ["id-1"]


def test_a_hit_needs_the_answer_that_it_repeats(store: Stores) -> None:
    first = stored(store, 1)
    own_texts = replace(hit_of(first, 2), answer_id="id-2")
    assert store.record_hit(hit_of(first, 3), "id-1", durable=False) is True
    assert store.record_hit(own_texts, "id-1", durable=False) is True
    store.delete("alice", "id-1")
    assert store.record_hit(hit_of(first, 4), "id-1", durable=False) is True, "another row still has the texts"
    for number in (3, 4):
        store.delete("alice", f"id-{number}")
    assert store.record_hit(hit_of(first, 5), "id-1", durable=False) is False
    assert store.record_hit(replace(hit_of(first, 6), answer_id="id-6"), "id-1", durable=False) is False
    assert ids(store) == ["id-2"]


def test_texts_that_come_to_an_end_twice_can_be_deleted(store: Stores) -> None:
    """Interrupted while all was kept, completed late when texts were kept no more."""
    store.start(generation(1))
    store.interrupt("id-1")
    bare = Stores(store.database, "metadata")
    bare.finish(completed(generation(1)))
    bare.delete("alice", "id-1")
    stored(bare, 2)
    assert bare.prune(1_800_000_000_000) == 1
    bare.presence.close()


def test_the_last_who_ends_apart_leaves_nothing_behind(store: Stores) -> None:
    store.start(generation(1))
    store.finish_with_own_answer(replace(generation(1), status=Status.CANCELLED, output="a"), "texts-1")
    assert [row.answer_id for row in store.export("alice")] == ["texts-1"]
    store.start(generation(3, answer_id="id-1"))  # the id is free: the old texts are gone


def test_a_row_may_be_marked_for_the_process_that_runs_it(store: Stores) -> None:
    store.start(generation(1))
    stored(store, 2)
    for owner, number in (("bob", 1), ("alice", 2), ("alice", 1)):
        assert store.running_ids() == {"id-1"}
        store.request_cancel(owner, f"id-{number}")
    row = store.get("alice", "id-1")
    assert row
    assert (row.status, row.finished_ms, store.running_ids()) == (Status.CANCELLED, None, set())
    assert store.generations.unfinished_ids() == {"id-1"}
    assert store.interrupt("id-1") == 1, "that process may have died"
    row = store.get("alice", "id-1")
    assert row
    assert (row.status, row.finished_ms) == (Status.CANCELLED, 7)


def test_a_search_finds_inputs_and_outputs(store: Stores) -> None:
    said(store, 1, "The quarterly report", "Net income rose")
    said(store, 2, "An e-mail about Ärger", "Income net of tax")
    said(store, 3, "Third", None)
    for text, found in [
        ("report", [1]), ("REPORT income", [1]), ("income", [2, 1]), ('"net income"', [1]), ("inc*", [2, 1]), ("in*", []),
        ("income -report", [2]), ("-income", [3]), ("e-mail", [2]), ("mail", [2]), ("arger", [2]), ("rep", []),
        ("income nothing", []), ('-"net income"', [3, 2]),
    ]:  # fmt: skip
        assert ids(store, q=text) == [f"id-{number}" for number in found], text
    ((_, row),) = store.newest("alice", 5, filters=Filters(search=parse_search('"net income"')))
    assert (row.match, row.snippet) == ("Net income rose", "input 1")
    assert store.newest("alice", 5)[0][1].match is None


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_no_search_breaks_the_store(store: Stores, text: str) -> None:
    said(store, 1, "a b c", "漢字 漢")
    ids(store, q=text[:2000])


def test_random_searches_break_nothing(store: Stores) -> None:
    said(store, 1, "a b ab AND", "input owner é")
    dice = random.Random(3)
    pieces = [
        "a",
        "b",
        "*",
        "-",
        '"',
        " ",
        "AND",
        "OR",
        "NEAR(",
        ")",
        "^",
        ":",
        "input",
        "{",
        "}",
        "+",
        "'",
        "\x00",
        "é",
        "😀",
        "漢",
    ]
    for _ in range(300):
        ids(store, q="".join(dice.choices(pieces, k=dice.randrange(1, 12))))


def test_what_runs_is_found_when_it_is_over_however_it_ends(store: Stores) -> None:
    store.start(generation(1, input="first"))
    store.start(generation(2, input="second"))
    store.start(generation(3, input="third"))
    assert ids(store, q="first") == []
    store.finish(replace(generation(1, input="first"), status=Status.FAILED, output="partial", finished_ms=5))
    store.finish_with_own_answer(
        replace(generation(2, input="second"), status=Status.CANCELLED, output="some"), "texts-2"
    )
    store.interrupt("id-1", "id-2", "id-3")
    assert [ids(store, q=text) for text in ("first partial", "second some", "third")] == [["id-1"], ["id-2"], ["id-3"]]
    store.finish(completed(generation(3, input="third"), output="late"))
    assert [ids(store, q=text) for text in ("third late", "third -late")] == [["id-3"], []]


def test_a_search_finds_all_who_share_an_answer(store: Stores) -> None:
    first = said(store, 1, "shared words")
    said(store, 2, "between")
    store.record_started(hit_of(first, 3))
    store.start(generation(4, input="joined words"))
    joined = store.record_started(generation(5, answer_id="id-4", input="joined words"))
    store.finish(completed(joined, output="whole"))
    store.finish(completed(generation(4, input="joined words"), output="whole"))
    assert ids(store, q="words") == ["id-5", "id-4", "id-3", "id-1"]
    assert ids(store, q="whole") == ["id-5", "id-4"]
    store.delete("alice", "id-1")
    store.delete("alice", "id-5")
    assert ids(store, q="words") == ["id-4", "id-3"]
    store.delete("alice", "id-3")
    assert ids(store, q="shared") == []


def test_rows_that_share_an_answer_share_its_excerpt(store: Stores) -> None:
    """It is searched for once: for each row again, the work that a page may do would not be enough for the last row."""
    said(store, 1, "the needle in the first row")
    first = said(store, 2, "word " * (EXCERPTED_CHARS // 5) + "needle")
    for number in range(3, 203):
        store.record_started(hit_of(first, number))
    rows = [row for _, row in store.newest("alice", 300, filters=Filters(search=parse_search("needle")))]
    assert [row.match for row in rows] == [None] * 201 + ["the needle in the first row"]


def test_an_answer_for_those_who_shared_with_one_that_was_interrupted_is_found_once(store: Stores) -> None:
    store.start(generation(1, input="shared"))
    late = generation(500, answer_id="id-1", input="shared")
    store.record_started(late)
    store.interrupt("id-1")
    store.finish(completed(late, output="whole"))
    assert [ids(store, q=text) for text in ("shared whole", "shared -whole")] == [["id-500", "id-1"], []]
    assert store.delete_all("alice") == 2
    assert ids(store, q="shared") == []


def test_what_is_too_old_is_pruned_with_its_texts_but_not_what_runs_or_is_shared(store: Stores) -> None:
    first = said(store, 1, "old and shared")
    said(store, 2, "old")
    store.start(generation(3, input="old and running"))
    store.record_started(replace(hit_of(first, 4), created_ms=first.created_ms + 1000))
    said(store, 1000, "young")
    assert store.prune(1_700_000_000_500) == 2
    assert ids(store) == ["id-1000", "id-4", "id-3"]
    assert ids(store, q="old") == ["id-4"]
    store.scrub()
    assert ids(store, q="old") == ["id-4"]
    assert store.prune(1_700_000_000_500) == 0


def test_deleting_all_happens_in_batches_and_means_what_there_is(store: Stores) -> None:
    for number in range(250):
        store.start(generation(number))
    stored(store, 999, "bob")
    assert store.delete_all("alice") == 250
    assert (ids(store), ids(store, "bob")) == ([], ["id-999"])


def test_nobody_finds_what_others_wrote(store: Stores) -> None:
    said(store, 1, "secret", owner="alice")
    said(store, 2, "secret", owner="bob")
    assert (ids(store, "bob", q="secret"), ids(store, "bob", q="alice")) == (["id-2"], [])


def test_filters(store: Stores) -> None:
    said(store, 1, "one", template_id="summarize_v1")
    first = said(store, 2, "two", model="other")
    store.record_started(hit_of(first, 3))
    store.start(generation(4))
    begin = 1_700_000_000_000
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"template_id": "summarize_v1"}, [1]), ({"model": "other"}, [3, 2]), ({"status": Status.RUNNING}, [4]),
        ({"cached": True}, [3]), ({"cached": False}, [4, 2, 1]), ({"since_ms": begin + 3}, [4, 3]),
        ({"until_ms": begin + 2}, [1]), ({"since_ms": begin + 2, "until_ms": begin + 3}, [2]), ({"q": "two", "cached": False}, [2]),
        ({"q": "two", "since_ms": begin + 3}, [3]), ({"template_id": "nope"}, []), ({"q": "one", "model": "other"}, []),
    ]  # fmt: skip
    for filters, found in cases:
        expected = [f"id-{number}" for number in found]
        assert ids(store, **filters) == expected, filters
        exported = (
            Filters(**{"search": parse_search(str(filters["q"]))} | {k: v for k, v in filters.items() if k != "q"})
            if "q" in filters
            else Filters(**filters)
        )
        assert [row.request_id for row in store.export("alice", exported)] == expected


def test_any_search_agrees_with_reading_everything_page_by_page_both_ways(store: Stores) -> None:
    dice = random.Random(11)
    vocabulary = ["common", "frequent", "seldom", "rare"]
    texts = [" ".join(word for word, share in zip(vocabulary, (0.9, 0.5, 0.1, 0.02), strict=True) if dice.random() < share) or "none" for _ in range(120)]  # fmt: skip
    made: list[Generation] = []
    for number, text in enumerate(texts):
        if made and dice.random() < 0.4:
            made.append(store.record_started(hit_of(dice.choice(made), number)))
        else:
            made.append(said(store, number, text, model=dice.choice(["m1", "m2"])))
    for row in dice.sample(made, 15):
        store.delete("alice", row.request_id)
    history = history_of(store, NoCache())
    for text in ("common", "frequent -seldom", "rare", '"common frequent"', "sel*", "-common"):
        for model in (None, "m1"):
            filters = Filters(search=parse_search(text), model=model)
            everything = [row for row in store.export("alice") if model in (None, row.model) and matches(text, row)]
            expected = [row.request_id for row in everything]
            assert [row.request_id for row in store.export("alice", filters)] == expected
            assert both_ways(history, filters) == (expected, expected), (text, model)


def matches(text: str, row: Generation) -> bool:
    words = f"{row.input} {row.output}".split()
    has = {
        "common": "common" in words, "frequent -seldom": "frequent" in words and "seldom" not in words,
        "rare": "rare" in words, '"common frequent"': "common frequent" in row.input, "sel*": "seldom" in words,
        "-common": "common" not in words,
    }  # fmt: skip
    return has[text]


def both_ways(history: HistoryService, filters: Filters) -> tuple[list[str], list[str]]:
    """All pages there, and all pages back."""
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


TRIED = (
    TriedModel("a", "azure", "upstream-auth", attempts=1),
    TriedModel("b", "local", "upstream-error", 2, 1, Usage(5, None, 5), Decimal("0.000000000012")),
    TriedModel("c", "local", "upstream-timeout", 1, 1, NOT_REPORTED, None),
)


def test_who_answered_and_who_was_tried_before_is_known_at_the_end(store: Stores) -> None:
    running = generation(1)
    store.start(running)
    done = completed(running, model="d", provider="local", cache_key="c" * 64, attempts=5, fallbacks=TRIED)
    assert store.finish(done)
    assert store.get("alice", "id-1") == replace(done, unreported=None)
    assert list(store.export("alice")) == [replace(done, unreported=None)]
    ((_, summary),) = store.newest("alice", 9, filters=Filters(model="d"))
    assert summary.model == "d"
    now = replace(done, fallbacks=TRIED[:1], model="e")
    store.amend_billing(done, now)
    assert store.get("alice", "id-1") == replace(now, unreported=None)


def test_texts_of_a_cached_answer_are_there_until_they_are_deleted(store: Stores) -> None:
    done = stored(store, 1)
    assert store.generations.has_answer(done.answer_id)
    store.delete("alice", done.request_id)
    assert not store.generations.has_answer(done.answer_id)
