"""What every store of limits promises, together with the history that settles. A second database is one more param."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.null_history import NullGenerations
from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.generation.model import Generation, Status
from llm_service.core.limits.rules import EVERYONE, Account, Amount, Demand, Reservation, ReservationResult
from llm_service.core.limits.status import LimitKind, LimitStatus
from llm_service.core.usage.tokens import Usage
from tests.support.builders import completed, generation
from tests.support.constants import POOLED_ENGINES
from tests.support.stores import Stores

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
EXPIRE_MS = 130_000
EACH = Amount(1000, Decimal("0.5"))
CALL = Demand(call=True, amount=EACH)
GENERATION = Demand(generation=True)
BUDGET = Account("key:k1", Allowance(tokens_per_day=3500, usd_per_day=Decimal(100), concurrent=5))
RATE = Account("key:k2", Allowance(generations_per_minute=3))
REPORTED = Usage(30, 12)


@pytest.fixture(name="history", params=["full", "off"])
def _history(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="stores", params=POOLED_ENGINES)
def _stores(
    request: pytest.FixtureRequest, history: str, new_database_of: Callable[[str], Database]
) -> Iterator[Stores]:
    stores = Stores(new_database_of(request.param), history)
    yield stores
    stores.close()


def reservation(number: int = 1, demand: Demand = CALL, *accounts: Account, now_ms: int = NOON_MS) -> Reservation:
    return Reservation(f"id-{number}", accounts or (BUDGET,), demand, now_ms, now_ms + EXPIRE_MS)


def begin(stores: Stores, number: int = 1, *accounts: Account, now_ms: int = NOON_MS) -> ReservationResult:
    taken = stores.start(generation(number, created_ms=now_ms), reservation(number, CALL, *accounts, now_ms=now_ms))
    assert taken is not None
    return taken


def over(number: int = 1, **more: object) -> Generation:
    known = {"billed": REPORTED, "cost_usd": Decimal("0.25"), "unreported": 0}
    return completed(generation(number, created_ms=NOON_MS), **{**known, **more})


def limit(
    stores: Stores, kind: LimitKind = LimitKind.TOKENS, account: Account = BUDGET, now_ms: int = NOON_MS
) -> LimitStatus:
    (found,) = [status for status in stores.limits.statuses([account], now_ms) if status.kind is kind]
    return found


def used(stores: Stores) -> tuple[Decimal, Decimal]:
    tokens = limit(stores)
    return tokens.used, tokens.reserved


def test_nothing_is_used_at_first(stores: Stores) -> None:
    kinds = [(status.kind, status.used, status.reserved) for status in stores.limits.statuses([BUDGET, RATE], NOON_MS)]
    assert kinds == [(kind, 0, 0) for kind in (LimitKind.CALLS, LimitKind.TOKENS, LimitKind.USD, LimitKind.GENERATIONS)]
    assert stores.limits.statuses([], NOON_MS) == ()


def test_a_generation_is_stored_with_its_reservation_or_not_at_all(stores: Stores) -> None:
    for number in (1, 2, 3):
        assert begin(stores, number).refused is None
    refused = begin(stores, 4).refused
    assert refused is not None
    assert (refused.kind, refused.reserved, refused.left) == (LimitKind.TOKENS, 3000, 500)
    assert stores.running_ids() == {"id-1", "id-2", "id-3"}
    assert limit(stores, LimitKind.CALLS).used == 3
    assert limit(stores, LimitKind.USD).reserved == Decimal("1.5")


def test_what_a_call_did_not_need_is_given_back_with_its_outcome(stores: Stores) -> None:
    begin(stores)
    stores.finish(over())
    assert used(stores) == (42, 0)
    assert (limit(stores, LimitKind.USD).used, limit(stores, LimitKind.CALLS).used) == (Decimal("0.25"), 0)


@pytest.mark.parametrize("unreported", [None, 1])
def test_what_nobody_reported_is_charged_in_full(stores: Stores, unreported: int | None) -> None:
    begin(stores)
    nothing: dict[str, Any] = {"billed": Usage(), "cost_usd": None, "status": Status.CANCELLED}
    stores.finish(over(**nothing, unreported=unreported))
    assert used(stores) == (1000, 0)
    assert limit(stores, LimitKind.USD).used == Decimal("0.5")


def test_what_was_never_sent_is_free(stores: Stores) -> None:
    begin(stores)
    stores.finish(over(billed=Usage(), cost_usd=None, status=Status.FAILED))
    assert used(stores) == (0, 0)


def test_an_outcome_apart_is_settled_when_its_call_is_over(stores: Stores) -> None:
    begin(stores)
    early = over(billed=Usage(), cost_usd=None, unreported=1, status=Status.CANCELLED)
    stores.finish_with_own_answer(early, "apart")
    assert (used(stores), limit(stores, LimitKind.CALLS).used) == ((0, 1000), 1)
    stores.amend_billing(early, replace(early, billed=REPORTED, cost_usd=Decimal("0.25"), unreported=0))
    assert used(stores) == (42, 0)
    assert limit(stores, LimitKind.USD).used == Decimal("0.25")


def test_a_call_that_was_settled_gets_no_further_attempt(stores: Stores) -> None:
    begin(stores)
    stores.finish(over())
    refused = stores.limits.reserve(reservation(1, replace(CALL, call=False))).refused
    assert refused is not None
    assert refused.kind is LimitKind.TOKENS
    assert used(stores) == (42, 0)


def test_a_deleted_row_settles_all_the_same(stores: Stores) -> None:
    begin(stores)
    stores.delete("alice", "id-1")
    stores.finish(over())
    assert used(stores) == (42, 0)


def test_a_further_attempt_reserves_its_own(stores: Stores) -> None:
    again = replace(CALL, call=False)
    begin(stores)
    assert stores.limits.reserve(reservation(1, again)).refused is None
    assert used(stores) == (0, 2000)
    assert stores.limits.reserve(reservation(1, again)).refused is None
    assert stores.limits.reserve(reservation(1, again)).refused is not None, "there is no room for a fourth"
    assert (limit(stores).reserved, limit(stores, LimitKind.CALLS).used) == (3000, 1)
    stores.finish(over(unreported=1))
    assert used(stores) == (1042, 0)


def test_what_a_dead_process_reserved_is_charged_in_full(stores: Stores) -> None:
    begin(stores)
    later_ms = NOON_MS + EXPIRE_MS
    assert limit(stores, LimitKind.CALLS, now_ms=later_ms - 1).used == 1
    assert limit(stores, LimitKind.CALLS, now_ms=later_ms).used == 0, "nobody has its slot any more"
    assert stores.limits.open_ids() == {"id-1"}
    assert [stores.limits.expire(ids) for ids in (["id-2"], ["id-1"], ["id-1"])] == [0, 1, 0]
    assert stores.limits.open_ids() == set()
    assert used(stores) == (1000, 0)
    stores.finish(over())
    assert used(stores) == (42, 0), "it was not dead"


def test_the_sweep_that_marks_a_row_as_interrupted_settles_it(stores: Stores) -> None:
    begin(stores)
    rows = 0 if isinstance(stores.generations, NullGenerations) else 1
    assert stores.generations.unfinished_ids() == {"id-1"}
    assert stores.interrupt("id-1", now_ms=NOON_MS + EXPIRE_MS) == rows
    # Without a row, only the reservation itself can tell.
    assert used(stores) == ((1000, 0) if rows else (0, 1000))
    assert limit(stores, LimitKind.CALLS).used == 1 - rows


def test_a_day_is_one_of_utc_and_belongs_to_those_that_began_in_it(stores: Stores) -> None:
    late_ms = NOON_MS + DAY_MS // 2 - 1000
    begin(stores, now_ms=late_ms)
    midnight_ms = late_ms + 1000
    assert limit(stores, now_ms=late_ms).resets_ms == midnight_ms
    tomorrow = limit(stores, now_ms=midnight_ms)
    assert (tomorrow.used, tomorrow.reserved) == (0, 0)
    assert limit(stores, LimitKind.CALLS, now_ms=midnight_ms).used == 1, "the call is still under way"
    stores.finish(over())
    assert (limit(stores, now_ms=midnight_ms).used, limit(stores, now_ms=late_ms).used) == (0, 42)


def count(stores: Stores, now_ms: int) -> ReservationResult:
    return stores.limits.reserve(reservation(1, GENERATION, RATE, now_ms=now_ms))


def test_a_minute_is_any_sixty_seconds(stores: Stores) -> None:
    began_ms = NOON_MS + 900
    assert [count(stores, began_ms + after).refused for after in (0, 30_000, 59_000)] == [None] * 3
    refused = count(stores, began_ms + 59_500).refused
    assert refused is not None
    assert refused.resets_ms is not None
    assert began_ms + 60_000 <= refused.resets_ms <= began_ms + 61_000
    assert count(stores, refused.resets_ms - 1).refused is not None
    assert count(stores, refused.resets_ms).refused is None
    assert count(stores, refused.resets_ms + 1).refused is not None


def test_what_is_refused_does_not_count(stores: Stores) -> None:
    for _ in range(10):
        count(stores, NOON_MS)
    assert limit(stores, LimitKind.GENERATIONS, RATE).used == 3


def test_all_accounts_or_none(stores: Stores) -> None:
    everyone = Account(EVERYONE, Allowance(tokens_per_day=1500, generations_per_minute=1))
    assert begin(stores, 1, BUDGET, everyone).refused is None
    refused = begin(stores, 2, BUDGET, everyone).refused
    assert refused is not None
    assert (refused.own, refused.kind) == (False, LimitKind.TOKENS)
    assert used(stores) == (0, 1000)
    both = reservation(3, GENERATION, RATE, everyone)
    assert [stores.limits.reserve(both).refused is None for _ in range(2)] == [True, False]
    assert limit(stores, LimitKind.GENERATIONS, RATE).used == 1
    stores.finish(over())
    assert (used(stores), limit(stores, account=everyone).used) == ((42, 0), 42)


def test_money_is_exact(stores: Stores) -> None:
    tiny = Decimal("0.000000000001")
    account = Account("key:k3", Allowance(usd_per_day=tiny * 3))
    ask = Demand(call=True, amount=Amount(1, tiny))
    taken = [stores.limits.reserve(reservation(number, ask, account)).refused is None for number in range(5)]
    assert taken == [True, True, True, False, False]


def test_pruning_forgets_what_no_limit_looks_at(stores: Stores) -> None:
    begin(stores)
    count(stores, NOON_MS)
    stores.finish(over())
    stores.limits.prune(NOON_MS + 1000)
    assert used(stores) == (42, 0)
    assert limit(stores, LimitKind.GENERATIONS, RATE).used == 1
    stores.limits.prune(NOON_MS + 60 * DAY_MS)
    assert used(stores) == (0, 0)


def in_threads(number: int, work: object) -> None:
    threads = [threading.Thread(target=work, args=[index]) for index in range(number)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_hundred_calls_at_once_cannot_overspend(stores: Stores) -> None:
    through: list[int] = []
    account = Account("key:k4", Allowance(tokens_per_day=25_400))

    def ask(number: int) -> None:
        if begin(stores, number, account).refused is None:
            through.append(number)

    in_threads(200, ask)
    assert len(through) == 25
    in_threads(25, lambda number: stores.finish(over(through[number])))
    now: Sequence[LimitStatus] = stores.limits.statuses([account], NOON_MS)
    assert [(status.used, status.reserved) for status in now] == [(25 * 42, 0)]
