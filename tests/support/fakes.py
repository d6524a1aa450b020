"""Fakes of the ports of the core: they keep what they are given and fail when a test says so."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.core import errors
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import (
    Generation,
    GenerationSummary,
    IdempotencyKey,
    KeyHolder,
    ProviderCall,
    ProviderEvent,
    Status,
)
from llm_service.core.limits.ports import LimitStore
from llm_service.core.limits.rules import Account, Reservation, ReservationResult
from llm_service.core.limits.status import LimitStatuses
from llm_service.core.usage.pricing import Price, per_million


class NothingCounted:
    """The limits of a service that has none: nobody may ask."""

    def take(self, hold: Reservation) -> ReservationResult:
        raise AssertionError("nothing is limited")

    def standing(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        raise AssertionError("nothing is limited")

    def expire(self, now_ms: int) -> int:
        return 0

    def prune(self, now_ms: int) -> None: ...


class ListHistory:
    """Keeps each generation by id, and every write in order."""

    def __init__(self, limits: LimitStore) -> None:
        self.limits = limits
        self.rows: dict[str, Generation] = {}
        self.writes: list[tuple[str, Status]] = []
        self.deleted_meanwhile = False
        self.deleted: set[str] = set()
        self.away = False

    def start(self, generation: Generation, hold: Reservation | None = None) -> ReservationResult | None:
        taken = self.limits.take(hold) if hold else None
        if taken is None or taken.refused is None:
            self._write("start", generation)
        return taken

    def settle(self, generation: Generation) -> None:
        """Whoever limits something settles here."""

    def finish(self, generation: Generation) -> bool:
        self._write("finish", generation)
        return not self.deleted_meanwhile

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        self._write("finish apart", replace(generation, answer_id=answer_id), settles=False)
        return True

    def bill_late(self, was: Generation, now: Generation) -> None:
        assert self.rows[was.request_id].billed == was.billed
        self._write("bill late", now)

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        if answer_id in self.deleted:
            return False
        self._write("hit", generation)
        return True

    def record_shared(self, generation: Generation) -> Generation:
        self._write("shared", generation)
        return generation

    def claim_key(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        return None

    def release_key(self, owner: str, key: IdempotencyKey, request_id: str) -> None: ...

    def prune_keys(self, before_ms: int) -> int:
        return 0

    def ask_to_cancel(self, owner: str, request_id: str) -> None: ...

    def running_ids(self) -> set[str]:
        return {row.request_id for row in self.rows.values() if row.status is Status.RUNNING}

    def _write(self, kind: str, generation: Generation, *, settles: bool = True) -> None:
        if self.away:
            raise errors.StorageBusy("busy")
        if settles:
            self.settle(generation)
        self.rows[generation.request_id] = generation
        self.writes.append((kind, generation.status))

    def get(self, owner: str, request_id: str) -> Generation | None:
        return self.rows.get(request_id)

    def newest(
        self, owner: str, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[tuple[int, GenerationSummary]]:
        return []

    def export(self, owner: str) -> Iterator[Generation]:
        return iter(self.rows.values())

    def delete(self, owner: str, request_id: str) -> str | None:
        return None

    def delete_all(self, owner: str) -> int:
        return 0

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        return 0

    def check(self) -> None: ...

    def close(self) -> None: ...


class ScriptedProvider(EchoProvider):
    """Yields what it is given, raises what is an error, and counts its calls."""

    def __init__(self, *events: ProviderEvent | Exception | threading.Event) -> None:
        super().__init__()
        self.events = events
        self.calls: list[ProviderCall] = []
        self.closed = 0

    def stream(self, call: ProviderCall, control: CallContext) -> Generator[ProviderEvent, None, None]:
        self.calls.append(call)
        try:
            for event in self.events:
                if isinstance(event, threading.Event):
                    while not event.wait(0.01):
                        if control.stopped:
                            raise errors.UpstreamUnreachable("the socket was shut down")
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
        finally:
            self.closed += 1


class Prices:
    """A dollar a token, and half a one where the provider had it cached."""

    def of(self, model: str) -> Price | None:
        return Price("list 1", per_million(Decimal(1_000_000), Decimal(500_000), Decimal(1_000_000)))


class RecordingReporter:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.bugs: list[Exception] = []
        self.early: list[Generation] = []

    def ended(self, generation: Generation) -> None:
        self.early.append(generation)

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        self.bugs.append(error)


class ListSpool:
    def __init__(self) -> None:
        self.kept: list[Generation] = []

    def add(self, generation: Generation) -> None:
        self.kept.append(generation)

    def replay(self, store: Callable[[Generation], None]) -> Sequence[Exception]:
        for one in self.kept:
            store(one)
        return ()
