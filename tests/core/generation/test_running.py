"""Joining and cancelling by id."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    Delta,
    Status,
)
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import World


def test_cancel_ends_it_with_what_it_has_and_once() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    for _ in range(2):
        row = world.running.cancel("local", "id-1")
        assert (row.status, row.output) == (Status.CANCELLED, "a")
    with pytest.raises(errors.Cancelled):
        subscription.next(30)
    until(lambda: world.slots.in_use == 0)
    assert world.store.writes == [("start", "running"), ("finish", "cancelled")]
    with pytest.raises(errors.NotFound):
        world.running.cancel("local", "id-77")
