"""All stores over one database, written to in units of work as the core composes them."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from tempfile import mkdtemp

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.generations import SqlGenerations
from llm_service.adapters.sql.idempotency import SqlIdempotency
from llm_service.adapters.sql.limits import SqlLimits
from llm_service.adapters.sql.marks import SqlMarks
from llm_service.adapters.sql.null_history import NullGenerations
from llm_service.adapters.sql.queries import SqlHistoryQueries
from llm_service.adapters.sql.retention import SqlRetention
from llm_service.adapters.sql.sqlite.database import Database as SqliteDatabase
from llm_service.adapters.sql.sqlite.presence import Presence
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.core.clock import Clock
from llm_service.core.generation.model import Generation, GenerationSummary
from llm_service.core.generation.orphans import Orphans
from llm_service.core.generation.outcomes import OutcomeRecorder, settle
from llm_service.core.generation.ports import UnitOfWork
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.subscriptions import Subscriptions
from llm_service.core.history.model import EVERYTHING, Filters
from llm_service.core.limits.rules import Reservation, ReservationResult


class Stores:
    """`history` is `full`, `metadata` or `off`; `search` are the options of `SqlHistoryQueries`."""

    def __init__(self, database: Database, history: str = "full", **search: int) -> None:
        self.database = database
        self.generations: SqlGenerations | NullGenerations
        if history == "off":
            self.generations = NullGenerations(database)
        else:
            self.generations = SqlGenerations(database, keeps_texts=history == "full")
        self.queries = SqlHistoryQueries(database, **search)
        self.marks = SqlMarks(database)
        self.retention = SqlRetention(database)
        self.idempotency = SqlIdempotency(database)
        self.limits = SqlLimits(database)
        self.usage = SqlUsage(database)
        self.recorder = OutcomeRecorder(self.generations, FileSpool(Path("never.spool")), SystemClock(), LogReporter())
        # Beside it lies the file with the processes.
        self.processes = database.path if isinstance(database, SqliteDatabase) else Path(mkdtemp()) / "database"
        self.presence = Presence(self.processes)
        self.get = self.generations.get
        self.record_hit = self.generations.record_hit
        self.record_started = self.generations.record_started
        self.delete = self.retention.delete
        self.delete_all = self.retention.delete_all
        self.prune = self.retention.prune
        self.scrub = self.retention.scrub
        self.owner_of = self.generations.owner_of

    def start(self, generation: Generation, reservation: Reservation | None = None) -> ReservationResult | None:
        def work(unit: UnitOfWork) -> ReservationResult | None:
            result = unit.reservations.reserve(reservation) if reservation else None
            if result is None or result.refused is None:
                unit.generations.start(generation)
            return result

        return self.generations.transaction(work)

    def finish(self, generation: Generation) -> bool:
        def work(unit: UnitOfWork) -> bool:
            settle(unit, generation)
            return unit.generations.finish(generation)

        return self.generations.transaction(work)

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        return self.generations.transaction(lambda unit: unit.generations.finish_with_own_answer(generation, answer_id))

    def amend_billing(self, was: Generation, now: Generation) -> None:
        self.recorder.amend_billing(was, now)

    def interrupt(self, *request_ids: str, now_ms: int = 7) -> int:
        def work(unit: UnitOfWork) -> int:
            interrupted = unit.generations.interrupt(request_ids, now_ms)
            for generation in interrupted:
                settle(unit, generation)
            return len(interrupted)

        return self.generations.transaction(work)

    def request_cancel(self, owner: str, request_id: str) -> None:
        assert isinstance(self.generations, SqlGenerations)
        self.generations.request_cancel(owner, request_id)

    def running_ids(self) -> Set[str]:
        if isinstance(self.generations, SqlGenerations):
            return self.generations.running_ids()
        return set(self.generations.running)

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        stop: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        return self.queries.newest(owner, limit, before=before, after=after, stop=stop, filters=filters)

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        return self.queries.export(owner, filters)

    def check(self) -> None:
        self.database.check()

    def running(
        self, clock: Clock | None = None, recorder: OutcomeRecorder | None = None, *, is_remote: bool = False
    ) -> RunningGenerations:
        """Those of a process that has begun none. `is_remote`: it stops those of other processes."""
        clock, recorder = clock or SystemClock(), recorder or self.recorder
        registry = self._registry(clock)
        subscriptions = Subscriptions(registry, self.generations, self.orphans(clock, recorder), clock)
        remote = self.generations if is_remote and isinstance(self.generations, SqlGenerations) else None
        return RunningGenerations(registry, self.generations, remote, recorder, subscriptions)

    def orphans(self, clock: Clock, recorder: OutcomeRecorder) -> Orphans:
        """What a process that has begun no generation takes for those of dead ones."""
        registry = self._registry(clock)
        return Orphans(self.generations, self.limits, recorder, registry, self.presence, clock, expire_s=130)

    def _registry(self, clock: Clock) -> InFlightRegistry:
        return InFlightRegistry(clock, make_spawn(), LogReporter(), None, self.presence, abandon_grace_s=None)

    def close(self) -> None:
        self.database.close()
        self.presence.close()
