"""Outcomes that cannot be stored at once."""

import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    CallResult,
    Delta,
    Done,
    Status,
)
from llm_service.core.generation.outcomes import Kept, Outcome, OutcomeRecorder
from llm_service.core.templates.outputs import Outputs
from llm_service.core.templates.properties import Property, PropertyKind
from llm_service.core.usage.tokens import Usage
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock, until
from tests.support.fakes import ListGenerations, ListSpool, NothingCounted, RecordingReporter, ScriptedProvider
from tests.support.world import DONE, WORD, World


@pytest.mark.parametrize("members", [1, 2])
def test_what_is_stopped_while_the_store_is_away_is_kept_aside_and_said_so(members: int) -> None:
    world = World(ScriptedProvider(Delta("some text"), threading.Event()))
    subscriptions = [world.begin(detached=True) for _ in range(members)]
    assert all(isinstance(subscription.next(30), Delta) for subscription in subscriptions)
    world.store.away = True
    with pytest.raises(errors.StorageUnavailable, match="could not be stored"):
        world.registry.cancel(world.registry.of_owner("local")[0])
    (kept,) = world.spool.kept
    assert (kept.status, kept.output) == (Status.CANCELLED, "some text")
    world.store.away = False
    world.recorder.replay()
    row = world.store.rows[kept.request_id]
    assert (row.status, row.output, row.answer_id) == (Status.CANCELLED, "some text", kept.answer_id)
    assert (row.answer_id != row.request_id) is (members == 2), "texts that are shared stay as they are"
    for subscription in subscriptions:
        subscription.close()


@pytest.mark.parametrize(
    "away", ["until the end", "when it is stopped", "when the bill comes", "and the spool is full"]
)
def test_what_a_stopped_generation_costs_is_known_whenever_the_store_is_away(away: str) -> None:
    """Its call goes on for another one. The bill comes later, when the outcome is stored, or spooled, or neither."""
    begins = threading.Event()
    world = World(ScriptedProvider(Delta("some "), begins, *WORD))
    leads, joins = world.begin(detached=True), world.begin(detached=True)
    assert isinstance(leads.next(30), Delta)
    world.store.away, world.spool.full = away != "when the bill comes", away == "and the spool is full"
    with suppress(errors.StorageError):
        world.registry.cancel(world.registry.of_owner("local")[0])
    world.store.away, world.spool.full = away in ("until the end", "when the bill comes"), False
    begins.set()
    until(lambda: not world.registry.awaits_bills)
    world.store.away = False
    world.recorder.replay()
    row = world.store.rows[leads.generation.request_id]
    assert (row.status, row.cost_usd, row.billed, row.unreported) == (Status.CANCELLED, 3, Usage(1, 2, 3), 0)
    assert (row.output, row.answer_id) == ("some ", "texts-3")
    for subscription in (leads, joins):
        subscription.close()


def test_a_store_that_is_busy_is_tried_for_two_seconds() -> None:
    clock, store, spool = ManualClock(), ListGenerations(NothingCounted()), ListSpool()
    recorder = OutcomeRecorder(store, spool, clock, RecordingReporter())
    begun, store.away = clock.monotonic(), True
    assert recorder.finish(completed(generation(1))) is Kept.SPOOLED
    assert clock.monotonic() - begun == pytest.approx(2.0)
    assert [kept.request_id for kept in spool.kept] == ["id-1"]
    begun = clock.monotonic()
    assert recorder.finish(completed(generation(2)), stops_at=begun + 1) is Kept.SPOOLED
    assert clock.monotonic() == begun, "a process that stops does not wait"


def test_a_process_that_stops_tries_a_store_that_is_late_but_not_one_that_others_waited_for() -> None:
    clock, store, spool = ManualClock(), ListGenerations(NothingCounted()), ListSpool()
    recorder = OutcomeRecorder(store, spool, clock, RecordingReporter())
    stops_at = clock.monotonic() - 1
    assert recorder.finish(completed(generation(1)), stops_at=stops_at) is Kept.STORED
    store.away = True
    assert recorder.finish(completed(generation(2)), stops_at=stops_at) is Kept.SPOOLED
    store.away = False
    assert recorder.finish(completed(generation(3)), stops_at=stops_at) is Kept.SPOOLED
    assert list(store.rows) == ["id-1"]
    assert recorder.finish(completed(generation(4)), stops_at=stops_at + 2) is Kept.STORED


@pytest.mark.parametrize(
    ("done", "status", "code"),
    [
        (DONE, Status.COMPLETED, None),
        (replace(DONE, status=Status.INCOMPLETE, incomplete_reason="refusal"), Status.INCOMPLETE, None),
        (replace(DONE, text='{"n": "x"}'), Status.FAILED, "invalid-output"),
    ],
)
def test_what_a_result_is_for_a_generation(done: Done, status: Status, code: str | None) -> None:
    outputs = Outputs((Property("n", PropertyKind.INTEGER),)) if code else None
    outcome = Outcome.of(CallResult(done=done), outputs, model_chosen=None)
    assert (outcome.status, outcome.error and outcome.error.code) == (status, code)
    assert outcome.is_cacheable is (status is Status.COMPLETED)
