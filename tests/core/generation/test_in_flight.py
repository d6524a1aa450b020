"""The life of a generation."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    Delta,
)
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import DONE, World


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
