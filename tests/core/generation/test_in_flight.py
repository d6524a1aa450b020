"""The life of a generation."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.in_flight import State
from llm_service.core.generation.model import (
    Delta,
    Status,
)
from llm_service.core.generation.outcomes import Outcome
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import DONE, World, heard


@pytest.mark.parametrize("early", [False, True])
def test_whoever_listens_gets_an_end_also_when_storing_it_breaks(early: bool) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, DONE))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")

    world.store.breaks = ZeroDivisionError()
    if early:
        world.registry.interrupt_all()
    goes_on.set()
    with pytest.raises(errors.ServiceError) as raised:
        subscription.next(30)
    assert raised.value.code == "internal-error"
    assert [type(error) for error in world.reporter.bugs] == [ZeroDivisionError]
    until(lambda: len(world.registry) == 0)


def test_only_the_first_end_counts() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin(detached=True)
    assert subscription.next(30) == Delta("a")
    in_flight = world.registry.get("local", "id-1")
    assert in_flight is not None
    assert (in_flight.state, in_flight.result) == (State.RUNNING, None)
    ended = in_flight.finish(Outcome(Status.CANCELLED, error=errors.Cancelled("stopped"), early=True))
    assert ended is not None
    assert (ended.status, in_flight.state) == (Status.CANCELLED, State.FINISHED)
    assert in_flight.finish(Outcome(Status.FAILED, error=errors.UpstreamError("late"))) is None
    until(lambda: world.slots.in_use == 0)
    assert world.store.writes == [("start", "running"), ("finish", "cancelled")]


def test_text_that_comes_after_its_end_is_not_its_text() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leads, joins = world.begin(detached=True), world.begin()
    assert leads.next(30) == Delta("a")
    in_flight = world.registry.get("local", "id-1")
    assert in_flight is not None
    world.registry.cancel(in_flight)
    goes_on.set()
    assert heard(joins)[0] == "ab"
    assert in_flight.text_after(0) == "a"
    assert world.store.rows["id-1"].output == "a"
