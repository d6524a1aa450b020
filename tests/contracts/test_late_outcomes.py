"""Outcomes that were spooled while the database was away: whatever becomes of their rows, each is counted once.

Longer than other modules: each way to be late is a case of one rule.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.adapters.sql.sqlite.database import Database as SqliteDatabase
from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import NotFound, StorageBusy, StorageUnavailable
from llm_service.core.generation.model import AnswerWarning, Generation, Status
from llm_service.core.generation.outcomes import Kept, OutcomeRecorder
from llm_service.core.generation.tried_models import TriedModel
from llm_service.core.limits.rules import Account, Amount, Demand, Reservation
from llm_service.core.usage.sums import GroupBy, UsageSums, total_of
from llm_service.core.usage.tokens import NOT_REPORTED, Usage
from tests.support.builders import USAGE, generation, paid
from tests.support.clocks import NOW_MS, ManualClock
from tests.support.fakes import RecordingReporter, no_bills
from tests.support.locks import locked
from tests.support.stores import Stores

ACCOUNT = Account("key:k1", Allowance(tokens_per_day=10_000))
MOST = Amount(1000, Decimal(1))
ONCE = UsageSums(
    requests=1, completed=1, input_tokens=10, cached_input_tokens=4, output_tokens=20, reasoning_tokens=5,
    cost_usd=Decimal("0.5"),
)  # fmt: skip


CANCELLED = replace(ONCE, completed=0, cancelled=1)
# The end of a call that nobody knows the bill of yet; it is reserved for.
UNKNOWN = UsageSums(requests=1, cancelled=1, unknown_usage=1)


class Service:
    """The stores of a service, and its spool."""

    def __init__(self, folder: Path, history: str, database: Database) -> None:
        """`folder`: for the spool."""
        self.folder = folder
        self.keeps_texts = history == "full"
        self.stores = Stores(database, history)
        self.spool = FileSpool(folder / "s.spool", keeps_texts=self.keeps_texts)
        self.reporter = RecordingReporter()
        self.clock = ManualClock()
        self.recorder = OutcomeRecorder(self.stores.generations, self.spool, self.clock, self.reporter)

    def start(self, number: int = 1) -> None:
        running = generation(number, created_ms=NOW_MS)
        demand = Demand(call=True, amount=MOST)
        self.stores.start(running, Reservation(f"id-{number}", (ACCOUNT,), demand, NOW_MS, NOW_MS + DAY_MS))

    def spool_one(self, number: int = 1, **more: object) -> Generation:
        """A generation that began, and whose outcome could not be stored."""
        outcome = paid(number, created_ms=NOW_MS, finished_ms=NOW_MS + 1, unreported=0, output="SPOOLED TEXT", **more)
        self.start(number)
        self.spool.add(outcome)
        return outcome

    def replay(self) -> None:
        self.recorder.replay()
        assert self.reporter.bugs == []

    def bill(self) -> tuple[UsageSums, tuple[Decimal, Decimal]]:
        return self.sums(), self.limit()

    def sums(self) -> UsageSums:
        total = total_of(line.sums for line in self.stores.usage.lines("alice", GroupBy.DAY, None, None))
        return replace(total, latencies={})

    def limit(self) -> tuple[Decimal, Decimal]:
        (tokens,) = self.stores.limits.statuses([ACCOUNT], NOW_MS)
        return tokens.used, tokens.reserved

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program keeps all from writing."""
        database = self.stores.database
        if isinstance(database, SqliteDatabase):
            with locked(database.path):
                yield
            return
        assert isinstance(database, PostgresDatabase)
        with closing(database._connect()) as other, other.transaction():
            other.execute("LOCK TABLE generations IN EXCLUSIVE MODE")
            yield

    def texts(self) -> int:
        query = text("SELECT count(*) FROM answers WHERE output IS NOT NULL")
        return int(self.stores.database.read(lambda connection: connection.execute(query).scalar_one()))


@pytest.fixture(name="service", params=[("sqlite", "full"), ("sqlite", "metadata"), ("postgres", "full")], ids=" ".join)
def _service(
    request: pytest.FixtureRequest, tmp_path: Path, new_database_of: Callable[[str], Database]
) -> Iterator[Service]:
    engine, history = request.param
    service = Service(tmp_path, history, new_database_of(engine))
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
    service.spool.replay(lambda _: None, no_bills)
    service.spool.add(paid(1, created_ms=NOW_MS, finished_ms=NOW_MS + 1, unreported=0, answer_id="texts-9"))
    service.stores.delete("alice", "id-1")
    service.recorder.replay()
    assert (service.sums(), service.limit(), service.texts()) == (ONCE, (30, 0), 0)


def test_one_that_left_its_call_may_be_stored_again_when_its_commit_is_in_doubt(service: Service) -> None:
    service.start()
    joined = generation(2, created_ms=NOW_MS, answer_id="id-1")
    service.stores.record_started(joined)
    early = replace(joined, status=Status.CANCELLED, output="a", finished_ms=NOW_MS + 1)
    for _ in range(2):
        assert service.recorder.finish_with_own_answer(early, "apart") is Kept.STORED
    row = service.stores.get("alice", "id-2")
    assert row is not None
    assert (row.answer_id, row.status, row.output) == ("apart", Status.CANCELLED, "a" if service.keeps_texts else None)
    assert service.sums().cancelled == 1


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
        service.spool.replay(store, no_bills)
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
    running = service.stores.running(service.clock, service.recorder, is_remote=True)
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
    first = Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db"))
    first.spool_one(usage=USAGE)
    first.stores.close()
    later = Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db"))
    for _ in range(2):
        later.recorder.replay()
        assert (later.sums(), later.limit()) == (ONCE, (30, 0))
    later.stores.close()


def stopped(**more: object) -> tuple[Generation, Generation]:
    """A generation that was cancelled while its call went on: with what it cost as far as was known, and then as it is."""
    bill = {"billed": NOT_REPORTED, "cost_usd": None, "price_version": None, "unreported": 1}
    now = paid(
        1, created_ms=NOW_MS, status=Status.CANCELLED, finished_ms=NOW_MS + 1, unreported=0, output="PART", **more
    )
    return replace(now, **bill), now  # type: ignore[arg-type]


KNOWN = (CANCELLED, (Decimal(30), Decimal(0)))
RESERVED = (UNKNOWN, (Decimal(1000), Decimal(0)))


@pytest.mark.parametrize("answer_id", ["id-1", "texts-9"], ids=["its own call", "left its call"])
@pytest.mark.parametrize("replayed", ["between", "afterwards", "never ended"])
@pytest.mark.parametrize("row", ["stays", "is deleted"])
def test_a_bill_that_comes_after_a_spooled_outcome_counts_once(
    service: Service, answer_id: str, replayed: str, row: str
) -> None:
    was, now = stopped(answer_id=answer_id)
    service.start()
    service.spool.add(was)
    if row == "is deleted":
        service.stores.delete("alice", "id-1")
    if replayed == "between":
        service.replay()
        assert service.bill() == RESERVED
    service.recorder.amend_billing(was, now, spooled=True)
    lines = (service.folder / "s.spool").read_bytes()
    service.replay()
    assert service.bill() == KNOWN
    if replayed == "never ended" and row == "stays":
        # A process that was killed before it overwrote the lines.
        (service.folder / "s.spool").write_bytes(lines)
        service.replay()
    assert service.bill() == KNOWN
    found = service.stores.get("alice", "id-1")
    assert (found is None) is (row == "is deleted")
    if found is not None:
        assert (found.status, found.cost_usd, found.answer_id) == (Status.CANCELLED, Decimal("0.5"), answer_id)
        assert found.billed.input_tokens == 10


def test_an_outcome_that_left_its_call_is_charged_also_if_its_process_is_gone(service: Service) -> None:
    """No other bill comes, and an open reservation would count as a running call."""
    was, _ = stopped(answer_id="texts-9")
    service.start()
    service.spool.add(was)
    service.replay()
    assert service.bill() == RESERVED
    assert service.stores.limits.open_ids() == set()


@pytest.mark.slow
def test_a_bill_that_comes_while_the_database_is_locked_counts_once(service: Service) -> None:
    was, now = stopped()
    service.start()
    service.stores.finish(was)
    with service.locked():
        service.recorder.amend_billing(was, now)
    assert service.bill() == RESERVED
    assert [type(error) for error in service.reporter.bugs] == [StorageBusy]
    service.reporter.bugs.clear()
    for _ in range(2):
        service.replay()
        assert service.bill() == KNOWN


@pytest.mark.parametrize("answer_id", ["id-1", "texts-9"])
def test_a_bill_whose_outcome_was_damaged_brings_all_of_it(service: Service, answer_id: str) -> None:
    was, now = stopped(answer_id=answer_id)
    service.start()
    (service.folder / "s.spool").write_bytes(b"half a li\n")
    service.recorder.amend_billing(was, now, spooled=True)
    service.recorder.replay()
    assert service.bill() == KNOWN
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert (row.status, row.answer_id) == (Status.CANCELLED, answer_id)
    assert service.texts() == int(service.keeps_texts)


@pytest.mark.slow
def test_one_that_is_given_up_while_the_database_is_locked_is_spooled_and_its_caller_is_told(service: Service) -> None:
    service.start()
    with service.locked(), pytest.raises(StorageUnavailable, match="could not be stored"):
        service.recorder.give_up("alice", "id-1")
    service.recorder.replay()
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert row.status is Status.CANCELLED


def test_without_a_history_a_late_bill_counts_once_though_another_process_stored_the_outcome(tmp_path: Path) -> None:
    first, second = (
        Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db")),
        Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db")),
    )
    was, now = stopped()
    first.start()
    first.spool.add(was)
    second.replay()
    assert first.bill() == RESERVED
    first.recorder.amend_billing(was, now, spooled=True)
    for _ in range(2):
        first.replay()
        assert first.bill() == KNOWN
    assert first.stores.get("alice", "id-1") is None
    for each in (first, second):
        each.stores.close()


def test_a_spooled_outcome_keeps_the_models_that_were_tried(service: Service) -> None:
    tried = (
        TriedModel("a", "azure", "upstream-auth", attempts=1),
        TriedModel("b", "local", "upstream-error", 1, 1, Usage(3), None),
        TriedModel("c", "local", "upstream-error", 1, 0, Usage(3, 1), Decimal("0.000000000001")),
    )
    spooled = service.spool_one(model="d", provider="far", attempts=4, fallbacks=tried)
    service.recorder.replay()
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert (row.fallbacks, row.model, row.provider) == (tried, "d", "far")
    assert service.stores.usage.lines("alice", GroupBy.PROVIDER, None, None)
    assert spooled.fallbacks == tried


def test_a_line_from_before_there_were_fallbacks_is_stored(service: Service) -> None:
    service.spool_one()
    path = service.folder / "s.spool"
    values = json.loads(path.read_text())
    assert values.pop("fallbacks") == []
    path.write_text(json.dumps(values) + "\n")
    service.recorder.replay()
    row = service.stores.get("alice", "id-1")
    assert row is not None
    assert (row.fallbacks, service.reporter.bugs) == ((), [])


def test_without_a_history_what_another_process_stored_does_not_run_here_for_ever(tmp_path: Path) -> None:
    first, second = (
        Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db")),
        Service(tmp_path, "off", SqliteDatabase(f"sqlite:///{tmp_path}/s.db")),
    )
    for number in (1, 2):
        first.spool_one(number)
    second.replay()
    running = first.stores.running(first.clock, first.recorder)
    with pytest.raises(NotFound):
        running.subscribe("alice", "id-1")
    first.stores.orphans(first.clock, first.recorder).sweep()
    assert first.stores.running_ids() == set()
    assert first.sums().requests == 2
    for each in (first, second):
        each.stores.close()
