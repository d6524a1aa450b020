"""What the sums of usage promise, whatever store keeps them. A second database is one more param."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from llm_service.adapters.sql.database import Database
from llm_service.core.clock import HOUR_MS
from llm_service.core.generation.model import Generation, Status
from llm_service.core.generation.tried_models import TriedModel
from llm_service.core.usage.reports import UsageReports
from llm_service.core.usage.sums import GroupBy, UsageLine, UsageSums, bucket_of, total_of
from llm_service.core.usage.tokens import NO_TOKENS, NOT_REPORTED, Usage
from tests.support.builders import MORNING, USAGE, paid, spared
from tests.support.constants import POOLED_ENGINES
from tests.support.stores import Stores

DAY_MS = 24 * HOUR_MS


@pytest.fixture(name="stores", params=POOLED_ENGINES)
def _stores(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[Stores]:
    database = new_database_of(request.param)
    stores = Stores(database)
    yield stores
    stores.close()


def store(stores: Stores, *outcomes: Generation) -> None:
    """Each as the service does it: hits at once, others when they are over."""
    for outcome in outcomes:
        if outcome.cached:
            stores.record_started(outcome)
        else:
            stores.start(replace(outcome, status=Status.RUNNING, finished_ms=None, latency_ms=None))
            stores.finish(outcome)


def total(stores: Stores, owner: str | None = "alice") -> UsageSums:
    return total_of(line.sums for line in stores.usage.lines(owner, GroupBy.DAY, None, None))


def keys(lines: Sequence[UsageLine]) -> dict[tuple[str | int, ...], int]:
    return {line.key: line.sums.requests for line in lines}


def test_nothing_is_there_at_first(stores: Stores) -> None:
    assert stores.usage.lines("alice", GroupBy.DAY, None, None) == []
    assert total(stores) == UsageSums()


def test_a_call_is_billed_and_a_hit_and_a_shared_call_are_saved(stores: Stores) -> None:
    store(stores, paid(1), spared(2), spared(3, cached=False, latency_ms=600))
    assert total(stores) == UsageSums(
        requests=3, hits=1, joined=1, completed=3, input_tokens=10, cached_input_tokens=4, output_tokens=20,
        reasoning_tokens=5, saved_input_tokens=20, saved_output_tokens=40, cost_usd=Decimal("0.5"),
        saved_usd=Decimal("1.0"), latencies={bucket_of(600): 1, bucket_of(700): 1},
    )  # fmt: skip


def test_what_is_not_known_is_counted_and_never_zero(stores: Stores) -> None:
    nothing = {"usage": Usage(), "billed": Usage(), "cost_usd": None}
    store(
        stores,
        paid(1, status=Status.CANCELLED, **nothing),
        paid(2, status=Status.FAILED, **nothing, error="x"),
        paid(3, cost_usd=None),
        spared(4, usage=Usage(5), saved_usd=None),
        spared(5, saved_usd=None),
    )
    sums = total(stores)
    assert (sums.cancelled, sums.failed, sums.unknown_usage, sums.unknown_price) == (1, 1, 3, 2)
    assert (sums.input_tokens, sums.saved_input_tokens, sums.saved_output_tokens) == (10, 15, 20)
    assert (sums.cost_usd, sums.saved_usd) == (0, 0)


def test_a_failure_of_a_shared_call_is_nothing_unknown(stores: Stores) -> None:
    store(stores, spared(1, cached=False, status=Status.FAILED, usage=Usage(), saved_usd=Decimal(0)))
    assert total(stores) == UsageSums(requests=1, joined=1, failed=1)


def test_failed_attempts_are_in_the_bill(stores: Stores) -> None:
    store(stores, paid(1, billed=Usage(15, 21, 36, 4, 6), cost_usd=Decimal("0.75")))
    sums = total(stores)
    assert (sums.input_tokens, sums.output_tokens, sums.reasoning_tokens) == (15, 21, 6)
    assert sums.cost_usd == Decimal("0.75")


def test_money_is_exact(stores: Stores) -> None:
    store(stores, *(paid(number, cost_usd=Decimal("0.000000000001")) for number in range(7)))
    store(stores, paid(7, cost_usd=Decimal("123456.1")))
    assert total(stores).cost_usd == Decimal("123456.100000000007")


def test_lines_by_everything(stores: Stores) -> None:
    store(
        stores,
        paid(1),
        paid(2, created_ms=MORNING + DAY_MS - 1, model="other"),
        paid(3, created_ms=MORNING + DAY_MS, template_revision="ba9876543210"),
        paid(4, created_ms=MORNING + HOUR_MS, template_id="summarize_v1", provider="local"),
        paid(5, owner="bob"),
    )
    lines = {group: keys(stores.usage.lines("alice", group, None, None)) for group in GroupBy}
    first = MORNING // HOUR_MS
    assert lines == {
        GroupBy.HOUR: {(first,): 1, (first + 23,): 1, (first + 24,): 1, (first + 1,): 1},
        GroupBy.DAY: {(19_000,): 3, (19_001,): 1},
        GroupBy.TEMPLATE: {("basic_chat_v1",): 3, ("summarize_v1",): 1},
        GroupBy.REVISION: {
            ("basic_chat_v1", "0123456789ab"): 2,
            ("basic_chat_v1", "ba9876543210"): 1,
            ("summarize_v1", "0123456789ab"): 1,
        },
        GroupBy.MODEL: {("gpt-4o-mini",): 3, ("other",): 1},
        GroupBy.PROVIDER: {("openai",): 3, ("local",): 1},
        GroupBy.OWNER: {("alice",): 4},
    }
    assert keys(stores.usage.lines(None, GroupBy.OWNER, None, None)) == {("alice",): 4, ("bob",): 1}


def test_a_time_begins_with_its_first_hour_and_ends_before_its_last(stores: Stores) -> None:
    store(stores, *(paid(number, created_ms=MORNING + number * HOUR_MS) for number in range(4)))
    first = MORNING // HOUR_MS
    assert keys(stores.usage.lines("alice", GroupBy.HOUR, first + 1, first + 3)) == {(first + 1,): 1, (first + 2,): 1}
    assert keys(stores.usage.lines("alice", GroupBy.HOUR, first + 3, None)) == {(first + 3,): 1}


def test_the_last_hour_of_each_template(stores: Stores) -> None:
    first = MORNING // HOUR_MS
    store(
        stores,
        paid(1),
        paid(2, created_ms=MORNING + 2 * HOUR_MS, template_revision="ba9876543210"),
        paid(3, created_ms=MORNING + HOUR_MS, template_id="summarize_v1"),
        paid(4, created_ms=MORNING + 5 * HOUR_MS, owner="bob"),
    )
    assert stores.usage.last_hours("alice", 0) == {"basic_chat_v1": first + 2, "summarize_v1": first + 1}
    assert stores.usage.last_hours("alice", first + 2) == {"basic_chat_v1": first + 2}
    assert stores.usage.last_hours(None, 0)["basic_chat_v1"] == first + 5


@pytest.mark.parametrize("group_by", [GroupBy.DAY, GroupBy.MODEL])
@pytest.mark.parametrize("inside_ms", [0, 1, HOUR_MS // 2, HOUR_MS - 1])
def test_neighbouring_periods_count_nothing_twice(stores: Stores, group_by: GroupBy, inside_ms: int) -> None:
    """Wherever in an hour the one ends and the other begins."""
    store(stores, *(paid(number, created_ms=MORNING + number * HOUR_MS // 4) for number in range(40)))
    reports = UsageReports(stores.usage)
    ends = [MORNING - HOUR_MS, *(MORNING + hour * HOUR_MS + inside_ms for hour in (1, 2, 5)), MORNING + 20 * HOUR_MS]
    parts = [reports.report("alice", group_by, since, until).total for since, until in pairwise(ends)]
    whole = reports.report("alice", group_by, ends[0], ends[-1]).total
    assert whole.requests == 40
    assert [part.requests for part in parts] == [4, 4, 12, 20]
    assert sum(part.cost_usd for part in parts) == whole.cost_usd


def test_latencies_are_those_of_their_line(stores: Stores) -> None:
    slow = (paid(number, model="slow", latency_ms=9_000) for number in range(2, 4))
    store(stores, paid(1, latency_ms=100), *slow, paid(4, status=Status.FAILED, latency_ms=5))
    found = {line.key: line.sums.latencies for line in stores.usage.lines("alice", GroupBy.MODEL, None, None)}
    assert found == {("gpt-4o-mini",): {bucket_of(100): 1}, ("slow",): {bucket_of(9_000): 2}}


def test_sums_outlive_what_they_count(stores: Stores) -> None:
    store(stores, paid(1), spared(2), paid(3))
    before = total(stores)
    stores.delete("alice", "id-1")
    assert total(stores) == before
    stores.delete_all("alice")
    assert total(stores) == before


def test_what_runs_is_not_counted_and_what_is_left_behind_is(stores: Stores) -> None:
    stores.start(paid(1, status=Status.RUNNING, finished_ms=None, billed=Usage(), cost_usd=None))
    assert total(stores) == UsageSums()
    assert stores.interrupt("id-1", now_ms=MORNING + 2) == 1
    assert stores.interrupt("id-1", now_ms=MORNING + 2) == 0
    sums = total(stores)
    assert (sums.requests, sums.interrupted, sums.unknown_usage, sums.input_tokens) == (1, 1, 1, 0)


def test_an_outcome_after_all_takes_the_place_of_the_one_before(stores: Stores) -> None:
    """A process that was given up comes back to life with an answer."""
    outcome = paid(1)
    stores.start(replace(outcome, status=Status.RUNNING, finished_ms=None, billed=Usage(), cost_usd=None))
    stores.interrupt("id-1", now_ms=MORNING + 2)
    assert stores.finish(outcome)
    store(stores, paid(2))
    sums = total(stores)
    assert (sums.requests, sums.interrupted, sums.completed, sums.unknown_usage) == (2, 0, 2, 0)
    assert sums.cost_usd == 1


def test_what_was_deleted_while_it_ran_is_counted_once(stores: Stores) -> None:
    outcome = paid(1)
    stores.start(replace(outcome, status=Status.RUNNING, finished_ms=None))
    stores.delete("alice", "id-1")
    assert not stores.finish(outcome)
    assert (total(stores).requests, total(stores).input_tokens) == (1, 10)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_bill_that_comes_late_is_added(stores: Stores, deleted: bool) -> None:
    was = paid(1, status=Status.CANCELLED, usage=Usage(), billed=Usage(), cost_usd=None, error="cancelled")
    store(stores, was)
    assert total(stores).unknown_usage == 1
    if deleted:
        stores.delete("alice", "id-1")
    stores.amend_billing(was, replace(was, billed=USAGE, cost_usd=Decimal("0.5"), price_version="p1"))
    sums = total(stores)
    assert (sums.requests, sums.cancelled, sums.unknown_usage, sums.input_tokens) == (1, 1, 0, 10)
    assert sums.cost_usd == Decimal("0.5")
    row = stores.get("alice", "id-1")
    assert row is None if deleted else row and (row.billed.input_tokens, row.price_version) == (10, "p1")


def test_a_shared_answer_whose_texts_are_gone_is_counted_once(stores: Stores) -> None:
    assert stores.record_started(spared(2, answer_id="gone")).answer_id == "id-2"
    assert (total(stores).requests, total(stores).hits) == (1, 1)


TRIED = (
    TriedModel("first", "azure", "upstream-auth", attempts=1),
    TriedModel("second", "local", "upstream-error", 1, 0, Usage(3, 1), Decimal("0.1")),
    TriedModel("third", "local", "upstream-error", 1, 1, NOT_REPORTED, None),
)
# The answer itself: 10 tokens in, 20 out, half a dollar.
AFTER_OTHERS = paid(
    1, model="fourth", provider="far", attempts=4, unreported=1, billed=Usage(13, 21, 30, 4, 5),
    cost_usd=Decimal("0.6"), fallbacks=TRIED,
)  # fmt: skip


def lines_by(stores: Stores, group_by: GroupBy) -> dict[str | int, UsageSums]:
    return {line.key[0]: line.sums for line in stores.usage.lines("alice", group_by, None, None)}


def test_what_other_models_cost_is_in_the_sums_of_their_providers(stores: Stores) -> None:
    store(stores, AFTER_OTHERS)
    models, providers = lines_by(stores, GroupBy.MODEL), lines_by(stores, GroupBy.PROVIDER)
    assert models["second"] == UsageSums(input_tokens=3, output_tokens=1, cost_usd=Decimal("0.1"))
    assert models["third"] == UsageSums(unknown_usage=1)
    assert models["fourth"] == UsageSums(
        requests=1, completed=1, input_tokens=10, cached_input_tokens=4, output_tokens=20, reasoning_tokens=5,
        cost_usd=Decimal("0.5"), latencies={bucket_of(700): 1},
    )  # fmt: skip
    assert models.keys() == {"second", "third", "fourth"}, "what cost nothing has no line"
    assert providers.keys() == {"local", "far"}
    assert providers["local"] == total_of([models["second"], models["third"]])
    assert total(stores) == UsageSums(
        requests=1, completed=1, input_tokens=13, cached_input_tokens=4, output_tokens=21, reasoning_tokens=5,
        unknown_usage=1, cost_usd=Decimal("0.6"), latencies={bucket_of(700): 1},
    )  # fmt: skip


def test_a_bill_that_comes_late_moves_to_who_answered(stores: Stores) -> None:
    """Its caller cancelled it while the first model was asked; others shared the call, which went on."""
    was = paid(1, model="second", provider="local", status=Status.CANCELLED, billed=NO_TOKENS, cost_usd=Decimal(0))
    store(stores, was)
    now = replace(AFTER_OTHERS, status=Status.CANCELLED)
    stores.amend_billing(was, now)
    models = lines_by(stores, GroupBy.MODEL)
    assert (models["second"].requests, models["second"].cost_usd) == (0, Decimal("0.1"))
    assert (models["fourth"].requests, models["fourth"].cancelled, models["fourth"].cost_usd) == (1, 1, Decimal("0.5"))
    assert total(stores).cost_usd == Decimal("0.6")


def test_a_cached_answer_of_a_fallback_is_a_hit_and_the_attempt_before_it_is_paid(stores: Stores) -> None:
    found = paid(
        1, model="fourth", provider="far", cached=True, attempts=1, unreported=0, billed=Usage(3, 1, 0, 0, 0),
        cost_usd=Decimal("0.1"), saved_usd=Decimal("0.5"), fallbacks=TRIED[1:2],
    )  # fmt: skip
    stores.start(replace(found, cached=False, status=Status.RUNNING, finished_ms=None, latency_ms=None))
    stores.finish(found)
    assert total(stores) == UsageSums(
        requests=1, hits=1, completed=1, input_tokens=3, output_tokens=1, saved_input_tokens=10,
        saved_output_tokens=20, cost_usd=Decimal("0.1"), saved_usd=Decimal("0.5"),
    )  # fmt: skip


def test_who_joined_a_call_with_fallbacks_pays_nothing_for_them(stores: Stores) -> None:
    joined = spared(1, cached=False, latency_ms=700, fallbacks=tuple(tried.without_bill() for tried in TRIED))
    store(stores, joined)
    sums = total(stores)
    assert (sums.joined, sums.unknown_usage, sums.cost_usd, sums.saved_usd) == (1, 0, 0, Decimal("0.5"))


def test_a_last_model_without_a_slot_is_no_shared_call(stores: Stores) -> None:
    store(stores, paid(
        1, model="fourth", provider="far", status=Status.FAILED, usage=Usage(), attempts=1, unreported=0,
        billed=Usage(3, 1), cost_usd=Decimal("0.1"), fallbacks=TRIED[1:2], error="overloaded",
    ))  # fmt: skip
    sums = total(stores)
    assert (sums.failed, sums.joined, sums.unknown_usage, sums.input_tokens) == (1, 0, 0, 3)
