"""The life of a generation."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from llm_service.core import errors
from llm_service.core.generation.in_flight import State
from llm_service.core.generation.model import Delta, GenerateRequest, Status
from llm_service.core.generation.outcomes import Outcome
from tests.support.clocks import until
from tests.support.fakes import BrokenPrices, ScriptedProvider
from tests.support.world import ASKED, DONE, WORD, World, again, heard


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


def test_next_waits_for_news_and_not_longer_than_it_is_told() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, Delta("b"), DONE))
    leads, joins = world.begin(), world.begin()
    assert leads.next(30) == joins.next(30) == Delta("a")
    began = time.monotonic()
    assert leads.next(0.2) is None
    assert time.monotonic() - began >= 0.2
    goes_on.set()
    assert heard(leads)[0] == "b"
    leads.close()
    assert heard(joins)[0] == "b"
    joins.close()


def test_a_wake_up_without_news_does_not_end_the_wait() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, DONE))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    in_flight = world.registry.get("local", "id-1")
    assert in_flight is not None
    threading.Timer(0.05, in_flight.subscribers.wake).start()
    threading.Timer(0.2, goes_on.set).start()
    assert subscription.next(30) is not None


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


def test_the_text_at_its_end_is_kept_when_its_call_restarts_for_others() -> None:
    restarts, goes_on = threading.Event(), threading.Event()
    world = World(ScriptedProvider(Delta("a"), restarts, *again(2), Delta("b"), goes_on, DONE))
    leads, joins = world.begin(detached=True), world.begin()
    assert leads.next(30) == joins.next(30) == Delta("a")
    in_flight = world.registry.get("local", "id-1")
    assert in_flight is not None
    world.registry.cancel(in_flight)
    restarts.set()
    until(lambda: in_flight.call.text_after(0) == "b")
    assert in_flight.text_after(0) == "a"
    goes_on.set()
    until(lambda: len(world.registry) == 0)
    assert world.store.rows["id-1"].output == "a"


def test_whoever_listens_gets_an_end_also_when_an_answer_cannot_be_read() -> None:
    """A provider that breaks its promise stands for what nobody expected."""
    begins = threading.Event()
    no_text = replace(DONE, text=None)  # type: ignore[arg-type]
    world = World(ScriptedProvider(begins, no_text))
    asked = GenerateRequest("classify_v1", "Hello", {"labels": ["a", "b"]})
    subscriptions = [world.begin(asked) for _ in range(2)]
    begins.set()
    for subscription in subscriptions:
        with pytest.raises(errors.ServiceError) as raised:
            heard(subscription)
        assert raised.value.code == "internal-error"
    until(lambda: len(world.registry) == world.slots.in_use == 0)
    assert [row.status for row in world.store.rows.values()] == [Status.FAILED] * 2
    assert [type(error) for error in world.reporter.bugs] == [TypeError] * 2


@pytest.mark.parametrize("joins", [False, True])
def test_a_background_task_that_cannot_start_is_a_failure(joins: bool) -> None:
    tasks: list[threading.Thread] = []
    begins = threading.Event()

    def spawn(function: Callable[[], None]) -> None:
        if len(tasks) == joins:
            raise RuntimeError("can't start new thread")
        tasks.append(threading.Thread(target=function, daemon=True))
        tasks[-1].start()

    world = World(ScriptedProvider(begins, *WORD), spawn=spawn)
    leads = world.begin() if joins else None
    with pytest.raises(errors.ServiceError) as raised:
        heard(world.begin())
    assert raised.value.code == "internal-error"
    begins.set()
    if leads is not None:
        assert heard(leads)[0] == "ab"
    until(lambda: len(world.registry) == world.slots.in_use == 0)
    *_, row = world.store.rows.values()
    assert (row.status, row.unreported) == (Status.FAILED, 0)
    assert [type(error) for error in world.reporter.bugs] == [RuntimeError]


def test_what_breaks_before_the_call_frees_its_slot() -> None:
    world = World(ScriptedProvider(*WORD), prices=BrokenPrices())
    with pytest.raises(ZeroDivisionError):
        world.run()
    assert (world.slots.in_use, len(world.registry), world.store.rows) == (0, 0, {})
    with pytest.raises(ZeroDivisionError):
        world.run(replace(ASKED, input="again"))
