"""Upstream calls: what they bill, and what becomes of their failures."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    Billed,
    Delta,
    Retrying,
    Status,
)
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import WORD, World, heard


def test_every_attempt_that_reported_tokens_is_billed() -> None:
    """The answer's own counts, and what the cache saves, are those of the last attempt."""
    world = World(ScriptedProvider(Billed(Usage(5, 1, 6, 4)), Retrying(2), Billed(Usage()), Retrying(3), *WORD))
    paid, hit = world.run().generation, world.run().generation
    assert (paid.usage, paid.billed) == (Usage(1, 2, 3), Usage(6, 3, 9, 4))
    assert (paid.cost_usd, paid.saved_usd) == (4 + 3, 0)
    assert (hit.usage, hit.cost_usd, hit.saved_usd) == (Usage(1, 2, 3), 0, 3)


def test_a_failure_that_reported_tokens_is_billed() -> None:
    world = World(ScriptedProvider(Delta("a"), Billed(Usage(5, 1)), errors.UpstreamError("broke")))
    with pytest.raises(errors.UpstreamError):
        world.run()
    (row,) = world.store.rows.values()
    assert (row.status, row.usage, row.billed, row.cost_usd) == (Status.FAILED, Usage(5, 1), Usage(5, 1), 6)


def test_who_shares_a_call_pays_nothing_and_saves_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(), world.begin()
    begins.set()
    paid, shared = heard(leads)[1].generation, heard(joins)[1].generation
    assert (paid.cost_usd, paid.saved_usd, paid.billed) == (3, 0, Usage(1, 2, 3))
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 3, NO_TOKENS)
    assert shared.usage == paid.usage


def test_who_shares_a_call_that_fails_pays_and_saves_nothing() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, errors.UpstreamError("broke")))
    leads, joins = world.begin(), world.begin()
    begins.set()
    for subscription in (leads, joins):
        with pytest.raises(errors.UpstreamError):
            heard(subscription)
    paid, shared = world.store.rows.values()
    assert (paid.cost_usd, paid.billed) == (None, Usage()), "nobody knows"
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 0, NO_TOKENS)


def test_who_stopped_a_call_that_went_on_for_others_still_pays_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(detached=True), world.begin()
    stopped = world.running.cancel("local", leads.generation.request_id)
    assert (stopped.status, stopped.cost_usd, stopped.billed) == (Status.CANCELLED, None, Usage())
    begins.set()
    assert heard(joins)[1].generation.cost_usd == 0
    until(lambda: ("amend billing", Status.CANCELLED) in world.store.writes)
    row = world.store.rows[leads.generation.request_id]
    assert (row.cost_usd, row.billed, row.price_version) == (3, Usage(1, 2, 3), "list 1")


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.UpstreamTruncated("cut"), "upstream-truncated"), (ZeroDivisionError(), "internal-error")],
)
def test_a_failure_is_recorded_with_what_came_and_never_cached(error: Exception, code: str) -> None:
    world = World(ScriptedProvider(Delta("par"), Delta("tial"), error))
    with pytest.raises(errors.ServiceError) as raised:
        world.run()
    assert raised.value.code == code
    assert world.reporter.bugs == ([] if isinstance(error, errors.ServiceError) else [error])
    row = world.store.rows["id-1"]
    assert (row.status, row.error, row.output, row.usage) == (Status.FAILED, code, "partial", Usage())
    assert row.finished_ms is not None
    assert world.cache.stats().entries == 0
    assert world.provider.closed == 1  # type: ignore[attr-defined]


def test_a_leaders_failure_is_everyones() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(goes_on, errors.UpstreamRateLimited("slower", retry_after_s=7)))
    subscriptions = [world.begin() for _ in range(3)]
    goes_on.set()
    for subscription in subscriptions:
        with pytest.raises(errors.UpstreamRateLimited) as raised:
            subscription.result(30)
        assert raised.value.retry_after_s == 7
    assert {row.status for row in world.store.rows.values()} == {Status.FAILED}
    assert world.cache.stats().entries == 0
