"""Outcomes that were spooled while the database was away: whatever becomes of their rows, each is counted once."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import NotFound, StorageBusy
from llm_service.core.generation.model import AnswerWarning, Generation, Status
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.limits.rules import Account, Amount, Demand, Reservation
from llm_service.core.usage.sums import GroupBy, UsageSums, total_of
from tests.support.builders import USAGE, generation, paid
from tests.support.clocks import NOW_MS, ManualClock
from tests.support.fakes import RecordingReporter
from tests.support.stores import Stores

ACCOUNT = Account("key:k1", Allowance(tokens_per_day=10_000))
MOST = Amount(1000, Decimal(1))
ONCE = UsageSums(
    requests=1, completed=1, input_tokens=10, cached_input_tokens=4, output_tokens=20, reasoning_tokens=5,
    cost_usd=Decimal("0.5"),
)  # fmt: skip


class Service:
    """The stores of a service, and its spool."""

    def __init__(self, folder: Path, history: str) -> None:
        self.folder = folder
        self.stores = Stores(Database(f"sqlite:///{folder}/s.db"), history)
        self.spool = FileSpool(folder / "s.spool", keeps_texts=history == "full")
        self.reporter = RecordingReporter()
        self.clock = ManualClock()
        self.recorder = OutcomeRecorder(self.stores.generations, self.spool, self.clock, self.reporter)

    def spool_one(self, number: int = 1, **more: object) -> Generation:
        """A generation that began, and whose outcome could not be stored."""
        outcome = paid(number, created_ms=NOW_MS, finished_ms=NOW_MS + 1, unreported=0, output="SPOOLED TEXT", **more)
        running = generation(number, created_ms=NOW_MS)
        demand = Demand(call=True, amount=MOST)
        self.stores.start(running, Reservation(f"id-{number}", (ACCOUNT,), demand, NOW_MS, NOW_MS + DAY_MS))
        self.spool.add(outcome)
        return outcome

    def sums(self) -> UsageSums:
        total = total_of(line.sums for line in self.stores.usage.lines("alice", GroupBy.DAY, None, None))
        return replace(total, latencies={})

    def limit(self) -> tuple[Decimal, Decimal]:
        (tokens,) = self.stores.limits.statuses([ACCOUNT], NOW_MS)
        return tokens.used, tokens.reserved

    def texts(self) -> int:
        query = text("SELECT count(*) FROM answers WHERE output IS NOT NULL")
        return int(self.stores.database.read(lambda connection: connection.execute(query).scalar_one()))


@pytest.fixture(name="service", params=["full", "metadata"])
def _service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, request.param)
    yield service
    service.stores.close()


def test_a_row_that_was_deleted_meanwhile_stays_away_and_its_usage_counts_once(service: Service) -> None:
    service.spool_one()
    assert service.stores.delete_all("alice") == 1
    assert (service.sums(), service.limit()) == (UsageSums(), (0, 1000))
    for _ in range(2):
        service.recorder.replay()
        assert (service.sums(), service.limit()) == (ONCE, (30, 0))
    assert service.stores.get("alice", "id-1") is None
    assert (service.texts(), service.reporter.bugs) == (0, [])


def test_an_outcome_that_is_stored_twice_counts_once_also_where_an_attempt_reported_nothing(service: Service) -> None:
    outcome = replace(service.spool_one(), unreported=1)
    for _ in range(2):
        service.stores.finish(outcome)
        assert service.sums() == replace(ONCE, unknown_usage=1)


def test_a_spooled_outcome_keeps_its_warnings(service: Service) -> None:
    warnings = (AnswerWarning("input-truncated", 'The "half" \u2028 of it.'),)
    service.spool_one(warnings=warnings)
    service.recorder.replay()
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert (row.warnings, row.unreported, service.reporter.bugs) == (warnings, 0, [])


def test_one_that_left_its_call_counts_as_well(service: Service) -> None:
    """It would have got texts of its own."""
    service.spool_one()
    service.spool.replay(lambda _: None)
    service.spool.add(paid(1, created_ms=NOW_MS, finished_ms=NOW_MS + 1, unreported=0, answer_id="texts-9"))
    service.stores.delete("alice", "id-1")
    service.recorder.replay()
    assert (service.sums(), service.limit(), service.texts()) == (ONCE, (30, 0), 0)


def test_what_was_stored_before_the_database_went_away_again_is_not_counted_again(service: Service) -> None:
    for number in (1, 2):
        service.spool_one(number)
    passed: list[str] = []

    def store(outcome: Generation) -> None:
        if passed:
            raise StorageBusy("away again")
        passed.append(outcome.request_id)
        service.stores.finish(outcome)

    with pytest.raises(StorageBusy):
        service.spool.replay(store)
    assert (passed, service.sums()) == (["id-1"], ONCE)
    service.stores.delete("alice", "id-1")
    service.recorder.replay()
    assert service.sums().requests == 2
    assert service.limit() == (60, 0)


def test_a_sweep_takes_what_was_spooled_for_what_it_is(service: Service) -> None:
    service.spool_one()
    assert service.recorder.interrupt(["id-1"]) == 0
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert (row.status, service.sums(), service.limit()) == (Status.COMPLETED, ONCE, (30, 0))


@pytest.mark.parametrize("then", ["stays", "is deleted"])
def test_who_stops_one_that_was_spooled_gets_its_outcome(service: Service, then: str) -> None:
    """Its process seems to be gone. Given up, it would be counted now and again with the spool."""
    service.spool_one()
    registry = InFlightRegistry(service.clock, make_spawn(), service.reporter, None, abandon_grace_s=None)
    store = service.stores.generations
    running = RunningGenerations(registry, store, store, service.recorder, service.clock)  # type: ignore[arg-type]
    assert running.cancel("alice", "id-1").status is Status.COMPLETED
    if then == "is deleted":
        service.stores.delete("alice", "id-1")
        with pytest.raises(NotFound):
            running.cancel("alice", "id-1")
    service.recorder.replay()
    assert (service.sums(), service.limit()) == (ONCE, (30, 0))


def test_a_spool_that_cannot_be_read_is_reported_and_rows_are_given_up(service: Service) -> None:
    service.spool_one()
    (service.folder / "s.spool").unlink()
    (service.folder / "s.spool").mkdir()
    assert service.recorder.interrupt(["id-1"]) == 1
    assert [type(error).__name__ for error in service.reporter.bugs] == ["IsADirectoryError"]
    assert (service.sums().interrupted, service.sums().unknown_usage, service.limit()) == (1, 1, (1000, 0))


def test_without_a_history_a_process_that_starts_later_counts_it(tmp_path: Path) -> None:
    """No row says that it ran: the spool is all there is of it."""
    first = Service(tmp_path, "off")
    first.spool_one(usage=USAGE)
    first.stores.close()
    later = Service(tmp_path, "off")
    for _ in range(2):
        later.recorder.replay()
        assert (later.sums(), later.limit()) == (ONCE, (30, 0))
    later.stores.close()
