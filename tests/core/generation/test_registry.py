"""The generations of a process: abandoned, cancelled elsewhere, overdue, interrupted."""

import threading
from dataclasses import replace

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    Delta,
    Status,
)
from llm_service.core.wake_ups import Topic
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.wake_ups import Wire
from tests.support.world import ASKED, DONE, World, heard


def test_a_leader_that_leaves_does_not_hurt_the_others() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leader, other = world.begin(), world.begin()
    assert leader.next(30) == Delta("a")
    leader.close()
    world.registry.tick()
    assert world.store.rows["id-1"].status is Status.CANCELLED
    assert world.store.rows["id-1"].output == "a"
    goes_on.set()
    assert heard(other)[0] == "ab"
    assert world.run().generation.cached, "its answer was stored all the same"


def test_when_the_last_leaves_the_call_is_closed_after_the_grace() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()), grace_s=0.1)
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    subscription.close()
    world.registry.tick()
    assert world.store.rows["id-1"].status is Status.RUNNING
    world.clock.advance(0.11)
    world.registry.tick()
    until(lambda: world.slots.in_use == 0)
    row = world.store.rows["id-1"]
    assert (row.status, row.error, row.output, len(world.registry)) == (Status.CANCELLED, "cancelled", "a", 0)


@pytest.mark.parametrize(("kept", "grace_s"), [(True, 0.0), (False, None)])
def test_what_is_kept_goes_on_without_listeners(kept: bool, grace_s: float | None) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE), grace_s=grace_s)
    world.begin(detached=kept).close()
    world.registry.tick()
    goes_on.set()
    until(lambda: world.store.rows["id-1"].status is Status.COMPLETED)


def test_going_down() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin(detached=True)
    assert subscription.next(30) == Delta("a")
    world.registry.shut_down(world.clock.monotonic() + 0.2)
    assert world.registry.closing
    late = world.begin(replace(ASKED, input="late"), detached=True)
    assert late.next(30) == Delta("a")
    world.registry.tick()
    assert len(world.registry) == 2, "they have their grace"
    world.registry.drain()
    with pytest.raises(errors.ShuttingDown):
        world.begin(replace(ASKED, input="too late"))
    for each in (subscription, late):
        with pytest.raises(errors.ShuttingDown):
            each.next(30)
    row = world.store.rows["id-1"]
    assert (row.status, row.error, row.output) == (Status.INTERRUPTED, "shutting-down", "a")


def test_an_outcome_waits_for_the_store_as_always_while_there_is_time_to_stop() -> None:
    """Only an end that comes shortly before the interruption must not wait long."""
    world = World(ScriptedProvider(DONE))
    now, bounds = world.clock.monotonic(), [world.registry.stops_at]
    world.registry.shut_down(now + 28)
    bounds.append(world.registry.stops_at)
    world.clock.advance(27)
    bounds.append(world.registry.stops_at)
    assert bounds[:2] == [None, None]
    assert bounds[2] == pytest.approx(now + 27.5, abs=0.4)


def test_a_row_that_another_process_cancelled_ends_the_run_here() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    world.store.rows["id-1"] = replace(world.store.rows["id-1"], status=Status.CANCELLED)
    world.clock.advance(1.01)
    world.registry.tick()
    with pytest.raises(errors.Cancelled):
        subscription.next(30)


def test_what_another_process_gave_up_goes_on_here() -> None:
    """This one stood still for so long that it looked dead. What it has paid for is not thrown away."""
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    world.store.rows["id-1"] = replace(world.store.rows["id-1"], status=Status.INTERRUPTED, finished_ms=1)
    world.clock.advance(1.01)
    world.registry.tick()
    goes_on.set()
    assert heard(subscription)[0].endswith("b")
    until(lambda: world.store.rows["id-1"].status is Status.COMPLETED)


def test_a_provider_that_ignores_its_deadline_is_hung_up_on() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()), deadline_s=0.05)
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    world.clock.advance(1.1)
    world.registry.tick()
    with pytest.raises(errors.DeadlineExceeded):
        subscription.next(30)


def test_a_cancellation_that_it_is_told_of_is_looked_for_at_the_next_tick() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    world.store.rows["id-1"] = replace(world.store.rows["id-1"], status=Status.CANCELLED)
    assert not world.registry.check_remote("id-7"), "that is of another process"
    world.registry.tick()
    assert len(world.registry) == 1
    assert world.registry.check_remote("id-1")
    world.registry.tick()
    with pytest.raises(errors.Cancelled):
        subscription.next(30)
    assert not world.registry.check_remote(), "nothing is left to look for"


def test_a_false_cancellation_ends_nothing() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    subscription = world.begin()
    assert world.registry.check_remote()
    world.registry.tick()
    goes_on.set()
    assert heard(subscription)[0] == "ab"


def test_only_an_end_that_somebody_elsewhere_waits_for_is_told() -> None:
    wire, goes_on = Wire(), threading.Event()
    world, elsewhere = World(ScriptedProvider(Delta("a"), goes_on, DONE), wake_ups=wire.process()), wire.process()
    stored: list[Status] = []
    elsewhere.on(Topic.ENDED, lambda request_id: stored.append(world.store.rows[request_id].status))
    watched, other = world.begin(), world.begin(replace(ASKED, input="another"))
    elsewhere.send(Topic.WATCH, "id-1")
    goes_on.set()
    for subscription in (watched, other):
        heard(subscription)
    until(lambda: not len(world.registry))
    assert wire.sent == [(Topic.WATCH, "id-1"), (Topic.ENDED, "id-1")]
    assert stored == [Status.COMPLETED], "it is stored before it is told"


def test_a_question_that_comes_too_late_is_answered() -> None:
    wire = Wire()
    world, elsewhere = World(ScriptedProvider(DONE), wake_ups=wire.process()), wire.process()
    world.run()
    until(lambda: not len(world.registry))
    elsewhere.send(Topic.WATCH, "id-7")
    assert wire.sent == [(Topic.WATCH, "id-7")]
    elsewhere.send(Topic.WATCH, "id-1")
    assert wire.sent[2:] == [(Topic.ENDED, "id-1")]
