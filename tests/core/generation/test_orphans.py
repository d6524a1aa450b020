"""What dead processes left behind, over real SQLite files and a clock that is set while generations run."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_service.adapters.sql.sqlite.database import Database
from llm_service.adapters.sql.sqlite.presence import Presence
from llm_service.core.clock import DAY_MS
from llm_service.core.generation.model import Delta, Status
from llm_service.core.generation.orphans import Orphans
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock
from tests.support.fakes import ScriptedProvider
from tests.support.stores import Stores
from tests.support.world import World

EXPIRE_S = 130


@dataclass
class Watch:
    """A process that watches the rows of others. `world`: its own generations."""

    stores: Stores
    clock: ManualClock
    orphans: Orphans
    world: World

    def statuses(self) -> list[str]:
        return [row.status.value for _, row in self.stores.newest("alice", 10)][::-1]


@pytest.fixture(name="watch")
def _watch(new_database: Callable[[], Database]) -> Iterator[Watch]:
    stores, world = (
        Stores(new_database()),
        World(ScriptedProvider(Delta("a"), threading.Event())),
    )
    orphans = Orphans(
        stores.generations, stores.limits, stores.recorder, world.registry, world.clock, expire_s=EXPIRE_S
    )
    yield Watch(stores, world.clock, orphans, world)
    world.registry.interrupt_all()
    stores.close()


def test_what_was_unfinished_for_too_long_is_interrupted(watch: Watch) -> None:
    watch.stores.start(generation(1))
    watch.orphans.sweep()
    watch.clock.advance(EXPIRE_S - 1)
    watch.stores.start(generation(2))
    watch.stores.start(generation(3))
    watch.orphans.sweep()
    watch.stores.finish(completed(generation(3)))
    assert watch.statuses() == ["running", "running", "completed"]
    watch.clock.advance(1)
    watch.orphans.sweep()
    assert watch.statuses() == ["interrupted", "running", "completed"]
    watch.clock.advance(EXPIRE_S)
    watch.orphans.sweep()
    assert watch.statuses() == ["interrupted", "interrupted", "completed"]


@pytest.mark.parametrize("days", [1, 400, -1, -400])
def test_a_clock_that_is_set_ends_nothing(watch: Watch, days: int) -> None:
    watch.stores.start(generation(1, created_ms=watch.clock.now_ms()))
    watch.orphans.sweep()
    watch.clock.set_date(watch.clock.now_ms() + days * DAY_MS)
    watch.orphans.sweep()
    watch.clock.advance(EXPIRE_S - 1)
    watch.orphans.sweep()
    assert watch.statuses() == ["running"]
    watch.clock.advance(1)
    watch.orphans.sweep()
    assert watch.statuses() == ["interrupted"], "its process is dead, whatever the date"


def test_what_this_process_runs_is_no_orphan(watch: Watch) -> None:
    subscription = watch.world.begin()
    assert subscription.next(30) == Delta("a")
    watch.stores.start(generation(1))  # the same id
    watch.stores.start(generation(2))
    for _ in range(2):
        watch.orphans.sweep()
        watch.clock.advance(EXPIRE_S)
    watch.orphans.sweep()
    assert watch.statuses() == ["running", "interrupted"]
    subscription.close()


def test_who_is_alone_ends_all_at_once(watch: Watch) -> None:
    for number in range(250):
        watch.stores.start(generation(number))
    watch.orphans.end_all()
    assert watch.stores.generations.unfinished_ids() == set()
    row = watch.stores.get("alice", "id-249")
    assert row
    assert row.status is Status.INTERRUPTED


def test_a_process_knows_whether_it_is_alone(tmp_path: Path) -> None:
    first = Presence(tmp_path / "h.db")
    first.settle()
    second = Presence(tmp_path / "h.db")
    second.settle()
    first.close()
    third = Presence(tmp_path / "h.db")
    assert (first.alone, second.alone, third.alone) == (True, False, False)
    second.close()
    third.close()
    fourth = Presence(tmp_path / "h.db")
    assert fourth.alone
    fourth.close()
