"""Subscriptions: positions, restarts, other processes."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import Delta
from llm_service.core.generation.subscriptions import PolledSubscription
from tests.support.builders import completed, generation
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import DONE, World, again, heard


@pytest.mark.parametrize(
    ("after", "rest"), [(0, "h\u00e9llo \U0001f600 world"), (3, "lo \U0001f600 world"), (7, " world"), (99, " world")]
)
def test_a_position_is_kept_however_the_text_was_cut(after: int, rest: str) -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("h\u00e9llo "), Delta("\U0001f600"), goes_on, Delta(" world"), DONE))
    subscription = world.begin()
    until(lambda: world.registry.get("local", "id-1").call.text_after(6) != "")  # type: ignore[union-attr]
    joined = world.running.subscribe("local", "id-1", after)
    goes_on.set()
    assert heard(subscription)[0] == "h\u00e9llo \U0001f600 world"
    assert (heard(joined)[0], joined.position) == (rest, 13)


def test_a_retry_may_begin_anew_only_while_nobody_has_seen_the_text() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("half"), goes_on, *again(2), Delta("a"), Delta("b"), DONE))
    leader, seeing = world.begin(), world.begin()
    assert seeing.next(30) == Delta("half")
    goes_on.set()
    with pytest.raises(errors.UpstreamTruncated):
        heard(seeing)
    assert heard(leader)[0] == "ab"
    assert world.store.rows["id-1"].attempts == 2


def test_a_generation_of_another_process_is_polled_about_once_a_second() -> None:
    world = World(ScriptedProvider())
    clock, store = world.clock, world.store
    store.rows["id-1"] = generation(1)
    polled = PolledSubscription(store, clock, world.orphans, store.rows["id-1"], after=1)
    begun = clock.monotonic()
    assert polled.result(2.5) is None
    assert clock.monotonic() - begun == pytest.approx(2.5)
    store.rows["id-1"] = completed(generation(1), output="abc")
    assert heard(polled)[0] == "bc"
    assert polled.position == 3


def test_a_generation_of_another_process_may_be_deleted() -> None:
    world = World(ScriptedProvider())
    with pytest.raises(errors.NotFound):
        PolledSubscription(world.store, world.clock, world.orphans, generation(1)).result(5)


def test_a_wait_for_text_can_be_interrupted() -> None:
    world = World(ScriptedProvider(Delta("a"), threading.Event()))
    subscription = world.begin()
    assert subscription.next(30) == Delta("a")
    heard_of: list[object] = []
    waiting = threading.Thread(target=lambda: heard_of.append(subscription.next(24 * 3600)), daemon=True)
    waiting.start()

    def is_interrupted() -> bool:
        subscription.interrupt()  # once is ignored if it has not begun to wait
        return heard_of == [None]

    until(is_interrupted)
    subscription.close()
