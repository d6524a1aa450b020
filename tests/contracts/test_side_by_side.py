"""Several processes write at the same time, on each database: what must be exact stays exact.

SQLite, where only one writes at a time, is the reference.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select

from llm_service.adapters.sql.tables import answers, generations, limit_days
from llm_service.bootstrap.resources import open_database
from llm_service.bootstrap.settings import Settings
from llm_service.core.clock import DAY_MS
from llm_service.core.generation.accounting import sums_of
from llm_service.core.history.model import Filters
from llm_service.core.history.search import parse_search
from llm_service.core.usage.sums import GroupBy, total_of
from tests.support.constants import ENGINES
from tests.support.side_by_side import (
    CALLERS,
    COST,
    DOLLARS,
    EVERY_TOKEN,
    KEYS,
    NOON_MS,
    SLOTS,
    THREADS,
    TOKENS,
    Crew,
    answered,
    call,
    key_of,
    numbered,
)  # fmt: skip
from tests.support.stores import Stores

pytestmark = pytest.mark.slow


@dataclass
class Shared:
    """A database that several processes share."""

    url: str
    stores: Stores
    crew: Crew

    def run(self, scenario: str) -> list[Any]:
        return self.crew.run(self.url, scenario)

    def rows(self, query: Any) -> list[Any]:
        return self.stores.database.read(lambda connection: list(connection.execute(query)))

    def number(self, table: Any) -> int:
        return int(self.rows(select(func.count()).select_from(table))[0][0])


@pytest.fixture(scope="module", name="crew")
def _crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()


@pytest.fixture(name="shared", params=ENGINES)
def _shared(request: pytest.FixtureRequest, crew: Crew) -> Iterator[Shared]:
    if request.param == "postgres":
        url = request.getfixturevalue("new_postgres_url")()
    else:
        database = request.getfixturevalue("new_database")()
        database.close()
        url = f"sqlite:///{database.path}"
    stores = Stores(open_database(Settings.from_env({"DATABASE_URL": url})))
    yield Shared(url, stores, crew)
    stores.close()


def test_a_limit_of_generations_admits_exactly_so_many(shared: Shared) -> None:
    assert sum(shared.run("rate")) == 60


def test_budgets_are_neither_overspent_nor_refused_while_there_is_room(shared: Shared) -> None:
    """Room for 40 calls of 100 tokens, and for 50 of a cent. Each used half of what it reserved."""
    assert sum(shared.run("budget")) == 40
    for row in shared.rows(select(generations.c.request_id)):
        shared.stores.finish(answered(numbered(int(row[0].removeprefix("id-")))))
    assert shared.stores.limits.open_ids() == set()
    more = [shared.stores.start(numbered(n), call(f"id-{n}", TOKENS, DOLLARS)) for n in range(1000, 1040)]
    assert sum(result is not None and result.refused is None for result in more) == 20


def test_slots_are_never_exceeded_and_all_have_their_turn(shared: Shared) -> None:
    seen = shared.run("slots")
    assert len(seen) == CALLERS
    assert 1 <= max(seen) <= 10
    assert shared.number(generations) == len(seen)
    assert shared.stores.limits.open_ids() == set()
    assert {limit.used for limit in shared.stores.limits.statuses([SLOTS], 0)} == {0}


def test_an_idempotency_key_has_one_holder(shared: Shared) -> None:
    """Also one that is free again: every second one was claimed more than a day ago."""
    for index in range(0, KEYS, 2):
        shared.stores.idempotency.claim("alice", key_of(index), "of yesterday", NOON_MS - DAY_MS - 1)
    claims = shared.run("idempotency")
    for holders in zip(*claims, strict=True):
        assert len(set(holders)) == 1
        assert "of yesterday" not in holders
    assert len(claims) == CALLERS
    assert len(claims[0]) == KEYS


def test_no_count_is_lost(shared: Shared) -> None:
    epochs, logins = zip(*shared.run("counters"), strict=True)
    assert sorted(epochs) == sorted(logins) == list(range(1, CALLERS + 1))


def test_however_a_generation_ends_it_is_counted_and_charged_and_found_once(shared: Shared) -> None:
    stores = shared.stores
    leaders = [numbered(number) for number in range(THREADS)]
    for leader in leaders:
        stores.start(leader, call(leader.request_id, EVERY_TOKEN))
    shared.run("outcomes")
    rows = list(stores.export("alice"))
    joined = [row for row in rows if row.attempts == 0]
    kept = [row for row in rows if row.attempts == 1]
    assert len(joined) == CALLERS
    assert {row.request_id for row in kept} == {leader.request_id for leader in leaders[::2]}
    assert {row.status.value for row in rows} == {"completed"}
    # Each generation is counted once, with its last bill: also those whose rows were deleted.
    lines = stores.usage.lines("alice", GroupBy.OWNER, None, None)
    total = lines[0].sums
    assert total.requests == total.completed == len(joined) + THREADS
    assert total.input_tokens == THREADS * 60
    assert total.cost_usd == 2 * COST * THREADS
    of_rows = total_of(map(sums_of, rows))
    assert total.requests - of_rows.requests == THREADS // 2
    assert total.joined == of_rows.joined
    # The reservations were settled with the last bill.
    assert stores.limits.open_ids() == set()
    assert [tuple(row) for row in shared.rows(select(limit_days.c.tokens))] == [(THREADS * 100,)]
    # Texts and rows belong together, and each row is found by its texts.
    documents = dict(tuple(row) for row in shared.rows(select(answers.c.answer_id, answers.c.document)))
    stored = shared.rows(select(generations.c.answer_id, generations.c.document))
    assert set(documents) == {row.answer_id for row in stored}
    assert None not in documents.values()
    assert all(row.document == documents[row.answer_id] for row in stored)
    for row in rows:
        for word in (row.input, row.output):
            found = stores.newest("alice", 50, filters=Filters(search=parse_search(word or "")))
            assert row.request_id in {summary.request_id for _, summary in found}, word
