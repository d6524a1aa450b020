"""What dead processes left behind, over real SQLite files and a clock that is set while generations run."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.adapters.sql.sqlite.presence import Presence
from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import Interrupted
from llm_service.core.generation.model import Delta, Generation, Status
from llm_service.core.generation.orphans import Orphans
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.subscriptions import Subscriptions
from llm_service.core.limits.rules import Account, Amount, Demand, Reservation
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock
from tests.support.constants import ROOT
from tests.support.fakes import RecordingReporter, ScriptedProvider
from tests.support.locks import locked
from tests.support.stores import Stores
from tests.support.world import World, heard

EXPIRE_S = 130


@dataclass
class Watch:
    """A process that watches the rows of another. `world`: its own generations."""

    stores: Stores
    other: Presence
    clock: ManualClock
    orphans: Orphans
    world: World

    def start(self, number: int, created_ms: int = 1) -> None:
        """The other process begins a generation."""
        self.other.begin(f"id-{number}")
        self.stores.start(generation(number, created_ms=created_ms))

    def row(self, number: int) -> Generation:
        row = self.stores.get("alice", f"id-{number}")
        assert row
        return row

    def statuses(self) -> list[str]:
        return [row.status.value for _, row in self.stores.newest("alice", 10)][::-1]


def subscriptions_of(watch: Watch) -> Subscriptions:
    return Subscriptions(watch.world.registry, watch.stores.generations, watch.orphans, watch.clock)


@pytest.fixture(name="watch")
def _watch(new_database: Callable[[], Database]) -> Iterator[Watch]:
    stores, world = (
        Stores(new_database()),
        World(ScriptedProvider(Delta("a"), threading.Event())),
    )
    orphans = Orphans(
        stores.generations,
        stores.limits,
        stores.recorder,
        world.registry,
        stores.presence,
        world.clock,
        expire_s=EXPIRE_S,
    )
    other = Presence(stores.processes)
    yield Watch(stores, other, world.clock, orphans, world)
    other.close()
    world.registry.interrupt_all()
    stores.close()


def test_what_was_unfinished_for_too_long_is_interrupted(watch: Watch) -> None:
    watch.start(1)
    watch.orphans.sweep()
    watch.clock.advance(EXPIRE_S - 1)
    watch.start(2)
    watch.start(3)
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
    watch.start(1, watch.clock.now_ms())
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
    watch.start(1)  # the same id
    watch.start(2)
    for _ in range(2):
        watch.orphans.sweep()
        watch.clock.advance(EXPIRE_S)
    watch.orphans.sweep()
    assert watch.statuses() == ["running", "interrupted"]
    subscription.close()


def test_what_a_dead_process_ran_is_ended_at_the_next_look(watch: Watch) -> None:
    watch.start(1)
    watch.start(2)
    watch.stores.finish(completed(generation(2)))
    watch.orphans.sweep()
    assert watch.statuses() == ["running", "completed"]
    watch.other.close()
    watch.orphans.sweep()
    assert watch.statuses() == ["interrupted", "completed"]


def test_who_reads_a_generation_whose_process_dies_is_told(watch: Watch) -> None:
    watch.start(1)
    found = subscriptions_of(watch).find("alice", "id-1")
    assert found
    assert found.next(5) is None
    watch.other.close()
    with pytest.raises(Interrupted):
        found.next(5)
    assert watch.row(1).status is Status.INTERRUPTED
    with pytest.raises(Interrupted):
        subscriptions_of(watch).find("alice", "id-1").result(5)  # type: ignore[union-attr]


def test_who_reads_what_a_dead_process_had_spooled_gets_it(watch: Watch, tmp_path: Path) -> None:
    """The answer was paid for, and could not be stored before the process died."""
    spool = FileSpool(tmp_path / "spool")
    recorder = OutcomeRecorder(watch.stores.generations, spool, watch.clock, RecordingReporter())
    running = watch.stores.running(watch.clock, recorder)
    watch.start(1)
    spool.add(completed(generation(1), output="whole"))
    watch.other.close()
    assert heard(running.subscribe("alice", "id-1"))[0] == "whole"


def test_who_waits_goes_on_waiting_while_the_database_is_locked(watch: Watch) -> None:
    """A dead process's row cannot be ended now, but it can be read."""
    watch.start(1)
    watch.start(2)
    found = subscriptions_of(watch).find("alice", "id-1")
    assert found
    watch.other.close()
    with locked(watch.stores.processes):
        assert found.next(1) is None
        late = subscriptions_of(watch).find("alice", "id-2")
        assert late
    for each in (found, late):
        with pytest.raises(Interrupted):
            each.next(5)


def test_who_reads_what_a_hanging_process_runs_is_told_in_the_end(watch: Watch) -> None:
    watch.start(1)
    found = subscriptions_of(watch).find("alice", "id-1")
    assert found
    with pytest.raises(Interrupted):
        found.result(EXPIRE_S + 1)


def test_a_process_tells_what_it_runs_until_that_is_over(tmp_path: Path) -> None:
    own, other = Presence(tmp_path / "h.db"), Presence(tmp_path / "h.db")
    for request_id in ("a", "b"):
        own.begin(request_id)
    assert [(each.runs("a"), each.runs("b"), each.runs("c")) for each in (own, other)] == [(True, True, False)] * 2
    own.end("a")
    own.end("a")
    assert [(each.runs("a"), each.runs("b")) for each in (own, other)] == [(False, True)] * 2
    own.close()
    assert not other.runs("b")
    other.close()


def test_processes_that_know_the_database_by_other_names_see_each_other(tmp_path: Path) -> None:
    (tmp_path / "h.db").touch()
    (tmp_path / "link.db").symlink_to("h.db")
    own, other = Presence(tmp_path / "h.db"), Presence(tmp_path / "link.db")
    own.begin("a")
    assert (own.alone, other.alone, other.runs("a")) == (True, False, True)
    own.close()
    other.close()


def test_a_call_that_others_share_keeps_its_reservation_when_its_generation_has_just_ended(watch: Watch) -> None:
    """Its process stored the outcome and stopped telling, after the row was read here. A bill is still to come."""
    demand = Demand(call=True, amount=Amount(1000))
    account = Account("key:k1", Allowance(tokens_per_day=10_000))
    now_ms = watch.clock.now_ms()
    watch.stores.start(generation(1), Reservation("id-1", (account,), demand, now_ms, now_ms + EXPIRE_S * 1000))
    watch.stores.finish_with_own_answer(completed(generation(1)), "apart")
    assert watch.orphans.end_if_orphan("id-1")
    assert watch.stores.limits.open_ids() == {"id-1"}
    watch.orphans.sweep()
    watch.clock.advance(EXPIRE_S)
    watch.orphans.sweep()
    assert watch.stores.limits.open_ids() == set(), "no bill came"


def test_a_kernel_without_these_locks_is_known_at_the_start(tmp_path: Path) -> None:
    """Else each call would be refused, as no generation could be announced."""
    code = f"""
import errno, fcntl, os
from pathlib import Path
from llm_service.adapters.sql.sqlite.presence import ProcessesFileFault, check_processes_file
from tests.support.kernels import refuse_fcntl

check_processes_file(Path({str(tmp_path / "h.db")!r}))
files = os.listdir("/proc/self/fd")
refuse_fcntl(fcntl.F_OFD_SETLK, errno.EINVAL)
try:
    check_processes_file(Path({str(tmp_path / "h.db")!r}))
except ProcessesFileFault as fault:
    print(fault, os.listdir("/proc/self/fd") == files)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ".h.db.processes cannot be locked: Invalid argument. The service needs Linux" in run.stdout
    assert run.stdout.endswith(" True\n")


def test_a_process_that_closes_touches_no_file_that_others_opened_since(tmp_path: Path) -> None:
    """Generations end in threads meanwhile, and the number of a closed file is given to the next one."""
    faults: list[Exception] = []

    def run(presence: Presence, name: str) -> None:
        try:
            for number in range(300):
                presence.begin(f"{name}{number}")
                presence.end(f"{name}{number}")
        except Exception as error:
            faults.append(error)

    for _ in range(40):
        presence = Presence(tmp_path / "h.db")
        threads = [threading.Thread(target=run, args=(presence, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        presence.close()
        for thread in threads:
            thread.join()
    assert faults == []


def test_a_sweep_of_many_rows_lets_others_run(watch: Watch) -> None:
    """To ask for one takes the longer, the more of them run."""
    for number in range(250):
        watch.start(number)
    watch.orphans.sweep()
    assert watch.clock.sleeps >= 4
    assert watch.statuses() == ["running"] * 10


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
