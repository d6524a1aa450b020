"""Fakes of the ports of the core: they keep what they are given and fail when a test says so."""

import threading
from collections.abc import Callable, Collection, Generator, Sequence, Set
from dataclasses import replace
from decimal import Decimal
from typing import Protocol, TypeVar

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.core import errors
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Generation, ProviderCall, ProviderEvent, Status
from llm_service.core.generation.ports import UnitOfWork
from llm_service.core.limits.ports import LimitStore, Reservations
from llm_service.core.limits.rules import Account, Reservation, ReservationResult, Settlement
from llm_service.core.limits.status import LimitStatuses
from llm_service.core.usage.pricing import Price, per_million

T = TypeVar("T")


class NothingCounted:
    """The limits of a service that has none: nobody may ask."""

    def reserve(self, reservation: Reservation) -> ReservationResult:
        raise AssertionError("nothing is limited")

    def settle(self, settlement: Settlement) -> None:
        """Nothing was reserved."""

    def release(self, request_id: str) -> None:
        """Nothing was reserved."""

    def statuses(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        raise AssertionError("nothing is limited")

    def open_ids(self) -> Set[str]:
        return set()

    def expire(self, request_ids: Sequence[str]) -> int:
        return 0

    def prune(self, now_ms: int) -> None: ...


class FakeLimits(LimitStore, Reservations, Protocol):
    """Both sides of what is counted."""


class LivingProcesses:
    """Nobody dies: what is unfinished is being run."""

    def begin(self, request_id: str) -> None:
        """Nobody asks."""

    def end(self, request_id: str) -> None:
        """Nobody asks."""

    def runs(self, request_id: str) -> bool:
        return True

    def dead_among(self, request_ids: Collection[str], pause: Callable[[], None]) -> Sequence[str]:
        return []


class ListGenerations:
    """Keeps each generation by id, and every write in order. It is its own unit of work.

    `away`: the store is down. `breaks`: what storing an outcome raises. `before_start` runs before a row is stored.
    """

    def __init__(self, limits: FakeLimits) -> None:
        self.reservations = limits
        self.rows: dict[str, Generation] = {}
        self.writes: list[tuple[str, Status]] = []
        self.deleted_meanwhile = False
        self.deleted: set[str] = set()
        self.away = False
        self.breaks: Exception | None = None
        self.before_start: Callable[[], None] | None = None

    @property
    def generations(self) -> "ListGenerations":
        return self

    def transaction(self, work: Callable[[UnitOfWork], T], *, short: bool = True, wait_s: float | None = None) -> T:
        if self.away:
            raise errors.StorageBusy("busy")
        if (hook := self.before_start) is not None:
            self.before_start = None
            hook()
        return work(self)

    def start(self, generation: Generation) -> None:
        self._write("start", generation)

    def begin_call(self, generation: Generation) -> None:
        self._write("begin call", replace(generation, attempts=1))

    def finish(self, generation: Generation) -> bool:
        if self.breaks is not None:
            raise self.breaks
        self._write("finish", generation)
        return not self.deleted_meanwhile

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        if self.breaks is not None:
            raise self.breaks
        self._write("finish with own answer", replace(generation, answer_id=answer_id))
        return True

    def amend_billing(self, was: Generation, now: Generation) -> None:
        assert self.rows[was.request_id].billed == was.billed
        self._write("amend billing", now)

    def interrupt(self, request_ids: Sequence[str], now_ms: int) -> Sequence[Generation]:
        return []

    def unfinished_ids(self) -> Set[str]:
        return {row.request_id for row in self.rows.values() if row.finished_ms is None}

    def record_hit(self, generation: Generation, answer_id: str, *, durable: bool) -> bool:
        if answer_id in self.deleted:
            return False
        self._write("hit", generation)
        return True

    def record_started(self, generation: Generation) -> Generation:
        if generation.attempts:
            self.transaction(lambda unit: unit.generations.start(generation))
        else:
            self._write("joined", generation)
        return generation

    def get(self, owner: str, request_id: str) -> Generation | None:
        return self.rows.get(request_id)

    def owner_of(self, request_id: str) -> str | None:
        row = self.rows.get(request_id)
        return None if row is None else row.owner

    def has_answer(self, answer_id: str) -> bool:
        return answer_id not in self.deleted

    def request_cancel(self, owner: str, request_id: str) -> None:
        self.rows[request_id] = replace(self.rows[request_id], status=Status.CANCELLED)

    def running_ids(self) -> set[str]:
        return {row.request_id for row in self.rows.values() if row.status is Status.RUNNING}

    def interrupted_among(self, request_ids: Collection[str]) -> set[str]:
        return {request_id for request_id in request_ids if self.rows[request_id].status is Status.INTERRUPTED}

    def _write(self, kind: str, generation: Generation) -> None:
        self.rows[generation.request_id] = generation
        self.writes.append((kind, generation.status))


class ScriptedProvider(EchoProvider):
    """Yields what it is given, raises what is an error, and counts its calls."""

    def __init__(self, *events: ProviderEvent | Exception | threading.Event) -> None:
        super().__init__()
        self.events = events
        self.calls: list[ProviderCall] = []
        self.closed = 0

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        self.calls.append(call)
        try:
            for event in self.events:
                if isinstance(event, threading.Event):
                    while not event.wait(0.01):
                        if context.stopped:
                            raise errors.UpstreamUnreachable("the socket was shut down")
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
        finally:
            self.closed += 1


class BrokenPrices:
    """Raises instead of the price."""

    def of(self, model: str, provider: str) -> Price | None:
        raise ZeroDivisionError(model)


class DollarPrices:
    """A dollar a token, and half a one where the provider had it cached."""

    def of(self, model: str, provider: str) -> Price | None:
        return Price("list 1", per_million(Decimal(1_000_000), Decimal(500_000), Decimal(1_000_000)))


class CountedEpochs:
    """The epochs of a database, for caches of one process. `fails`: as a database that is down."""

    def __init__(self) -> None:
        self.fails = False
        self._epochs: dict[str, int] = {}

    def get(self, name: str) -> int:
        if self.fails:
            raise errors.StorageUnavailable("The database is down.")
        return self._epochs.get(name, 0)

    def advance(self, name: str) -> int:
        self._epochs[name] = self.get(name) + 1
        return self._epochs[name]


class RecordingReporter:
    """A reporter that keeps what it is told. `redis`: the reason each time that Redis went away, and `back`."""

    def __init__(self) -> None:
        self.redis: list[str] = []
        self.bugs: list[Exception] = []
        self.early: list[Generation] = []
        self.fallen_back: list[tuple[Generation, errors.ServiceError]] = []

    def ended(self, generation: Generation) -> None:
        self.early.append(generation)

    def fell_back(self, generation: Generation, error: errors.ServiceError) -> None:
        self.fallen_back.append((generation, error))

    def redis_away(self, reason: str) -> None:
        self.redis.append(reason)

    def redis_back(self) -> None:
        self.redis.append("back")

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        self.bugs.append(error)


def no_bills(was: Generation, now: Generation) -> None:
    """For replays of spools without late bills."""
    raise AssertionError(f"{now.request_id} has a late bill")


class ListSpool:
    """`full`: nothing can be added."""

    def __init__(self) -> None:
        self.kept: list[Generation] = []
        # The late bills among them: what each was first.
        self.were: dict[int, Generation] = {}
        self.full = False

    def add(self, generation: Generation, was: Generation | None = None) -> None:
        if self.full:
            raise OSError("no space is left")
        if was is not None:
            self.were[len(self.kept)] = was
        self.kept.append(generation)

    def replay(
        self, store: Callable[[Generation], None], amend: Callable[[Generation, Generation], None]
    ) -> Sequence[Exception]:
        for number, generation in enumerate(self.kept):
            if number in self.were:
                amend(self.were[number], generation)
            else:
                store(generation)
        return ()
