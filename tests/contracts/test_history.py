"""What every history store promises. A second database is one more param."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from llm_service.adapters.clock import SystemClock, uuid7
from llm_service.adapters.sql.engine import Database
from llm_service.adapters.sql.history import SqlHistory
from llm_service.adapters.telemetry import LogReporter
from llm_service.core.errors import InvalidInput, NotFound
from llm_service.core.history import History
from llm_service.core.live import Live
from llm_service.core.model import (
    CachedAnswer,
    CacheStats,
    Generation,
    IdempotencyKey,
    KeyHolder,
    Prompts,
    Status,
    Usage,
)  # fmt: skip
from llm_service.core.ports import HistoryStore
from llm_service.core.runs import Runs


@pytest.fixture(name="store", params=["sqlite"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HistoryStore]:
    store = {"sqlite": lambda: SqlHistory(Database(f"sqlite:///{tmp_path}/h.db"))}[request.param]()
    yield store
    store.close()


def history_of(store: HistoryStore, cache: "NoCache") -> History:
    clock = SystemClock()
    runs = Runs(history=store, clock=clock, reporter=LogReporter(), make_id=uuid7, abandon_grace_s=None)
    return History(store, cache, Live(runs, store, clock))


def generation(number: int, owner: str = "alice", **more: object) -> Generation:
    made = Generation(
        request_id=f"id-{number}",
        answer_id=f"id-{number}",
        owner=owner,
        template_id="basic_chat_v1",
        template_revision="0123456789ab",
        model="gpt-4o-mini",
        provider="openai",
        status=Status.RUNNING,
        cached=False,
        snippet=f"input {number}",
        usage=Usage(),
        cost_usd=None,
        saved_usd=None,
        latency_ms=None,
        created_ms=1_700_000_000_000 + number,
        input=f"input {number}",
        parameters={"tone": "simple"},
        prompts=Prompts("system", f"user {number}"),
        cache_key="k" * 64,
        attempts=1,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def completed(made: Generation, **more: object) -> Generation:
    done = replace(
        made, status=Status.COMPLETED, output="out", usage=Usage(1, 2, 3, 0, None), latency_ms=5, finished_ms=9
    )
    return replace(done, **more)  # type: ignore[arg-type]


def stored(store: HistoryStore, number: int, owner: str = "alice", **more: object) -> Generation:
    made = generation(number, owner)
    store.start(made)
    done = completed(made, **more)
    assert store.finish(done)
    return done


def test_a_generation_comes_back_whole(store: HistoryStore) -> None:
    running = generation(1)
    store.start(running)
    assert store.get("alice", "id-1") == running
    done = completed(
        running, cost_usd=Decimal("0.000000000012"), saved_usd=Decimal("0"), price_version="p1",
        upstream_request_id="req", incomplete_reason=None,
    )  # fmt: skip
    assert store.finish(done)
    assert store.get("alice", "id-1") == done


@pytest.mark.parametrize("amount", ["0", "0.0001", "0.00000003", "1234567.123456", "0.000000000001"])
def test_money_is_exact(store: HistoryStore, amount: str) -> None:
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
def test_text_comes_back_as_it_was(store: HistoryStore, text: str) -> None:
    made = generation(1, input=text, prompts=Prompts(text, text), parameters={"a": text, text[:9]: [text[:5]]})
    store.start(made)
    store.finish(completed(made, output=text))
    assert store.get("alice", "id-1") == completed(made, output=text)


def test_every_owner_is_alone(store: HistoryStore) -> None:
    done = stored(store, 1, "alice")
    stored(store, 2, "bob")
    assert store.get("bob", "id-1") is None
    assert [row.request_id for _, row in store.newest("bob", 10)] == ["id-2"]
    assert [one.request_id for one in store.export("bob")] == ["id-2"]
    assert store.delete("bob", "id-1") is None
    assert store.finish(replace(done, owner="bob", output="stolen")) is False
    assert store.delete_all("bob") == 1
    assert store.get("alice", "id-1") == done


def test_pages_lead_through_all_rows_both_ways(store: HistoryStore) -> None:
    for number in range(1, 8):
        stored(store, number)
    history = history_of(store, NoCache())
    first = history.page("alice", limit=3)
    second = history.page("alice", first.next, 3)
    third = history.page("alice", second.next, 3)
    assert [[one.request_id for one in page.items] for page in (first, second, third)] == [
        ["id-7", "id-6", "id-5"], ["id-4", "id-3", "id-2"], ["id-1"],
    ]  # fmt: skip
    assert (first.prev, third.next) == (None, None)
    assert history.page("alice", third.prev, 3).items == second.items
    back = history.page("alice", second.prev, 3)
    assert (back.items, back.prev, back.next) == (first.items, None, first.next)
    stored(store, 8)
    assert [one.request_id for one in history.page("alice", second.prev, 3).items] == ["id-7", "id-6", "id-5"]
    assert history.page("alice", second.prev, 3).prev is not None, "there is a newer one now"


def test_an_empty_page(store: HistoryStore) -> None:
    page = history_of(store, NoCache()).page("alice")
    assert (list(page.items), page.next, page.prev) == ([], None, None)


@pytest.mark.parametrize("cursor", ["", "x", "b", "c1", "b1 ", "b-1", "n1e9", "é", "b" + "1" * 500, "b\u0661"])
def test_a_cursor_that_no_page_gave(store: HistoryStore, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        history_of(store, NoCache()).page("alice", cursor)


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
def test_a_limit_out_of_bounds(store: HistoryStore, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        history_of(store, NoCache()).page("alice", limit=limit)


def test_a_list_reads_no_texts(store: HistoryStore) -> None:
    stored(store, 1)
    ((_, summary),) = store.newest("alice", 10)
    assert (summary.snippet, summary.usage.total_tokens, summary.status) == ("input 1", 3, Status.COMPLETED)
    assert not hasattr(summary, "output")


def test_export_has_every_row_newest_first(store: HistoryStore) -> None:
    for number in range(450):
        store.start(generation(number))
    assert [one.request_id for one in store.export("alice")] == [f"id-{number}" for number in reversed(range(450))]


def hit_of(first: Generation, number: int) -> Generation:
    return replace(
        first, request_id=f"id-{number}", cached=True, cost_usd=Decimal(0), attempts=0, created_ms=first.created_ms + 1
    )


def test_a_hit_shares_the_texts_of_its_answer_until_the_last_row_goes(store: HistoryStore) -> None:
    first = stored(store, 1)
    store.record_shared(hit_of(first, 2))
    assert store.get("alice", "id-2") == hit_of(first, 2)
    assert store.delete("alice", "id-1") == "k" * 64
    assert store.get("alice", "id-2") == hit_of(first, 2), "its texts are still there"
    store.delete("alice", "id-2")
    store.record_shared(hit_of(first, 3))
    kept = store.get("alice", "id-3")
    assert kept is not None
    assert (kept.answer_id, kept.output) == ("id-3", "out"), "the shared texts were gone: it keeps its own"


def test_deleted_is_gone(store: HistoryStore) -> None:
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


def test_what_was_deleted_while_it_ran_stays_deleted(store: HistoryStore) -> None:
    running = generation(1)
    store.start(running)
    store.delete("alice", "id-1")
    assert store.finish(completed(running)) is False
    assert store.get("alice", "id-1") is None


def test_positions_are_never_given_again(store: HistoryStore) -> None:
    stored(store, 1)
    ((position, _),) = store.newest("alice", 1)
    store.delete_all("alice")
    stored(store, 2)
    ((later, _),) = store.newest("alice", 1)
    assert later > position


def test_only_old_running_rows_are_interrupted(store: HistoryStore) -> None:
    store.start(generation(1))
    stored(store, 2)
    store.start(generation(500))
    assert store.interrupt_older_than(1_700_000_000_100, 7) == 1
    rows = {row.request_id: row for _, row in store.newest("alice", 10)}
    assert (rows["id-1"].status, rows["id-1"].error) == (Status.INTERRUPTED, "interrupted")
    assert store.running_ids() == {"id-500"}
    assert (rows["id-2"].status, rows["id-500"].status) == (Status.COMPLETED, Status.RUNNING)


def test_the_same_id_twice_is_refused(store: HistoryStore) -> None:
    store.start(generation(1))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.start(generation(1))
    assert len(store.newest("alice", 10)) == 1


class NoCache:
    """A cache that only remembers what it was told to forget."""

    def __init__(self) -> None:
        self.discarded: list[str] = []

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        return None

    def put(self, key: str, answer: CachedAnswer) -> None: ...

    def joined(self) -> None: ...

    def discard(self, key: str) -> None:
        self.discarded.append(key)

    def discard_owner(self, owner: str) -> None:
        self.discarded.append(f"owner {owner}")

    def stats(self) -> CacheStats:
        return CacheStats("none", 0, 0, 0, 0, 0)


KEY = IdempotencyKey("/api/v1/generate", "k-1", "f" * 64)


def test_a_key_stands_for_one_request(store: HistoryStore) -> None:
    assert store.claim_key("alice", KEY, "id-1", 1000) is None
    assert store.claim_key("alice", KEY, "id-2", 1000) == KeyHolder("id-1", "f" * 64)
    assert store.claim_key("bob", KEY, "id-3", 1000) is None, "each owner has keys of its own"
    assert store.claim_key("alice", replace(KEY, route="/other"), "id-4", 1000) is None
    store.release_key("alice", KEY, "id-9")
    assert store.claim_key("alice", KEY, "id-2", 1000) == KeyHolder("id-1", "f" * 64), "only its holder gives it back"
    store.release_key("alice", KEY, "id-1")
    assert store.claim_key("alice", KEY, "id-2", 1000) is None


@pytest.mark.parametrize("status", list(Status))
def test_only_a_request_that_runs_or_answered_holds_its_key(store: HistoryStore, status: Status) -> None:
    assert store.claim_key("alice", KEY, "id-1", 1000) is None
    store.start(generation(1))
    if status is not Status.RUNNING:
        store.finish(completed(generation(1), status=status))
    holds = status in (Status.RUNNING, Status.COMPLETED, Status.INCOMPLETE)
    assert (store.claim_key("alice", KEY, "id-2", 10**6) is not None) is holds


def test_keys_live_a_day_and_go_with_their_generation(store: HistoryStore) -> None:
    day_ms = 24 * 3600 * 1000
    store.claim_key("alice", KEY, "id-1", 1000)
    stored(store, 1)
    assert store.claim_key("alice", KEY, "id-2", 1000 + day_ms) is None
    stored(store, 2)
    store.delete("alice", "id-2")
    assert store.claim_key("alice", KEY, "id-3", 1000) is None
    assert (store.prune_keys(1000), store.prune_keys(1001)) == (0, 1)


def test_a_key_whose_process_died_at_once_is_free_after_a_minute(store: HistoryStore) -> None:
    store.claim_key("alice", KEY, "id-1", 1000)
    assert store.claim_key("alice", KEY, "id-2", 60_000) is not None
    assert store.claim_key("alice", KEY, "id-2", 62_000) is None


def test_one_that_ends_apart_takes_its_texts_along(store: HistoryStore) -> None:
    """The one who began a shared call is stopped; the other gets the whole answer, and neither sees the other's."""
    store.start(generation(1))
    shared = store.record_shared(generation(2, answer_id="id-1"))
    stopped = replace(generation(1), status=Status.CANCELLED, error="cancelled", output="par", finished_ms=5)
    assert store.finish_apart(stopped, "texts-1") is True
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


def test_the_last_who_ends_apart_leaves_nothing_behind(store: SqlHistory) -> None:
    store.start(generation(1))
    store.finish_apart(replace(generation(1), status=Status.CANCELLED, output="a"), "texts-1")
    assert [one.answer_id for one in store.export("alice")] == ["texts-1"]
    store.start(generation(3, answer_id="id-1"))  # the id is free: the old texts are gone


def test_a_row_may_be_marked_for_the_process_that_runs_it(store: HistoryStore) -> None:
    store.start(generation(1))
    stored(store, 2)
    for owner, number in (("bob", 1), ("alice", 2), ("alice", 1)):
        assert store.running_ids() == {"id-1"}
        store.ask_to_cancel(owner, f"id-{number}")
    row = store.get("alice", "id-1")
    assert row
    assert (row.status, row.finished_ms, store.running_ids()) == (Status.CANCELLED, None, set())
