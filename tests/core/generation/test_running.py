"""Joining and cancelling by id."""

import threading

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.runtime.background import make_spawn
from llm_service.core import errors
from llm_service.core.generation.endings import Endings
from llm_service.core.generation.model import (
    Delta,
    Status,
)
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.subscriptions import Subscriptions
from llm_service.core.wake_ups import Topic
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock, until
from tests.support.fakes import LivingProcesses, ScriptedProvider
from tests.support.wake_ups import Wire
from tests.support.world import World, heard


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


def test_one_whose_process_is_gone_is_cancelled_by_its_row() -> None:
    world = World(EchoProvider())
    world.store.rows["id-9"] = generation(9, owner="local")
    begun = world.clock.monotonic()
    assert world.running.cancel("local", "id-9").status is Status.CANCELLED
    assert world.store.rows["id-9"].finished_ms == world.clock.now_ms()
    assert world.clock.monotonic() - begun == pytest.approx(4.0), "its process had time to end it"


def test_one_of_another_process_is_followed_by_its_row() -> None:
    world = World(EchoProvider())
    world.store.rows["id-9"] = completed(generation(9, owner="local"), output="there")
    assert heard(world.running.subscribe("local", "id-9", after=2))[0] == "ere"


def test_a_cancellation_ends_the_run_of_another_process_without_a_look_of_its_own() -> None:
    """The dates stand still, so neither process looks because time has passed."""
    wire = Wire()
    world, here = World(ScriptedProvider(Delta("a"), threading.Event()), wake_ups=wire.process()), wire.process()

    def look_if_told(request_id: str) -> None:
        if world.registry.check_remote(request_id):
            world.registry.tick()

    wire.process().on(Topic.CANCEL, look_if_told)
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    clock = ManualClock()
    registry = InFlightRegistry(
        clock, make_spawn(), world.reporter, world.store, LivingProcesses(), abandon_grace_s=None, wake_ups=here
    )
    subscriptions = Subscriptions(registry, world.store, world.orphans, clock, Endings(here, clock))
    running = RunningGenerations(registry, world.store, world.store, world.recorder, subscriptions, here)
    row = running.cancel("local", "id-1")
    assert (row.status, row.output) == (Status.CANCELLED, "a")
    assert wire.sent == [(Topic.WATCH, "id-1"), (Topic.CANCEL, "id-1"), (Topic.ENDED, "id-1")]
    assert not clock.sleeps


def test_other_processes_look_whether_rows_of_theirs_were_deleted() -> None:
    wire = Wire()
    world, there = World(ScriptedProvider(Delta("a"), threading.Event()), wake_ups=wire.process()), wire.process()
    heard: list[str] = []
    there.on(Topic.CANCEL, heard.append)
    world.running.cancel_deleted()
    assert heard == [""]
