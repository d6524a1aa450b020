"""How a generation ends, and how that is stored, even if the database cannot be written.

An answer was paid for. If its row cannot be written, the write is retried for two seconds, the time that it waits for a
lock included, then the row is spooled to a file. A process that stops waits half a second, for all that it interrupts
together. No caller gets an answer that is not in the history, and none is lost. All outcomes are stored here: answers,
failures, cancellations, and those of dead processes. The same transaction settles the call's reservation. A bill that
comes later is stored, or spooled, in the same way.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from ..clock import Clock
from ..errors import (
    Cancelled,
    InvalidOutput,
    ServiceError,
    StorageBusy,
    StorageError,
    StorageUnavailable,
    UnknownModel,
    UpstreamModelUnknown,
)
from ..limits.rules import Settlement
from ..messages import Messages
from ..templates.outputs import Outputs
from .model import AnswerWarning, CallResult, Done, Generation, Status
from .ports import GenerationStore, Reporter, Spool, UnitOfWork
from .warnings import warnings_of

T = TypeVar("T")
Work = Callable[[UnitOfWork], T]
PAUSES_S = (0.5, 0.5, 1.0)
# For all attempts together.
PATIENCE_S = 2.0
# A replay keeps others from the spool, and is repeated.
REPLAY_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ends: with `done`, the provider's answer, or with `error`; with both if the answer is invalid.

    `early`: before its call ended, which may continue for others. `warnings`: about the answer.
    """

    status: Status
    done: Done | None = None
    error: ServiceError | None = None
    early: bool = False
    warnings: tuple[AnswerWarning, ...] = ()

    @classmethod
    def of(
        cls, result: CallResult, outputs: Outputs | None, *, model_chosen: str | None, messages: Messages = ()
    ) -> "Outcome":
        """The outcome of a call for one of the generations that share it.

        `outputs`: those that its template declares. `model_chosen`: the model that its caller asked for. `messages`: what was
        sent.
        """
        if (done := result.done) is not None:
            error, warnings = _output_error(done, outputs), warnings_of(messages, done)
            return cls(Status.FAILED if error else done.status, done, error, warnings=warnings)
        assert result.failure is not None
        failure = result.failure.error()
        if isinstance(failure, UpstreamModelUnknown) and model_chosen is not None:
            failure = UnknownModel(model_chosen, None)
        return cls(Status.CANCELLED if isinstance(failure, Cancelled) else Status.FAILED, error=failure)

    @property
    def is_cacheable(self) -> bool:
        """Only complete answers are cached, and none with a warning: the next request asks again."""
        return self.status is Status.COMPLETED and not self.warnings


def _output_error(done: Done, outputs: Outputs | None) -> InvalidOutput | None:
    """The error of an answer that is not the JSON it must be. Refusals and cut answers are reported elsewhere."""
    if outputs is None or done.status is not Status.COMPLETED:
        return None
    try:
        outputs.parse(done.text)
    except InvalidOutput as error:
        return error
    return None


class Kept(Enum):
    """Where an outcome is. `WITHOUT_ROW`: it is counted, but its row was deleted. `SPOOLED`: `replay` will store it."""

    STORED = "stored"
    WITHOUT_ROW = "without row"
    SPOOLED = "spooled"


class OutcomeRecorder:
    """Built once per process. `stops_at`: the process stops, and waits for the store until then (monotonic)."""

    def __init__(self, store: GenerationStore, spool: Spool, clock: Clock, reporter: Reporter) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._reporter = reporter
        # Whether the last attempt to store an outcome failed.
        self._was_busy = False

    def finish(self, generation: Generation, *, stops_at: float | None = None) -> Kept:
        """As `GenerationWriter.finish`; also settles the call's reservation.

        Raises `StorageError`, which it has reported, if it is neither stored nor spooled.
        """
        return self._keep(lambda unit: _finish(unit, generation), generation, stops_at)

    def finish_with_own_answer(
        self, generation: Generation, answer_id: str, *, ends_call: bool = False, stops_at: float | None = None
    ) -> Kept:
        """As `GenerationWriter.finish_with_own_answer`; raises as `finish` does.

        `ends_call` False: it continues for others, and its reservation is kept until `amend_billing`.
        """
        own = replace(generation, answer_id=answer_id)

        def work(unit: UnitOfWork) -> bool:
            if ends_call:
                settle(unit, own)
            return unit.generations.finish_with_own_answer(generation, answer_id)

        return self._keep(work, own, stops_at)

    def amend_billing(
        self, was: Generation, now: Generation, *, spooled: bool = False, stops_at: float | None = None
    ) -> None:
        """Store or spool a bill that came after the outcome; `spooled`: as that was. A failure is only reported."""
        if not spooled:
            with suppress(StorageError):  # `_keep` reports it
                self._keep(lambda unit: _amend(unit, was, now), now, stops_at, was)
            return
        try:
            # Even if the database can be written again: nobody knows whether the outcome has been replayed yet.
            self._spool.add(now, was)
        except OSError as error:
            self._reporter.unexpected_error(error, was.request_id)

    def interrupt(self, request_ids: Sequence[str]) -> int:
        """End those of them that dead processes left unfinished; how many. Their reservations are charged in full."""
        self._replay_first()
        now_ms = self._clock.now_ms()

        def work(unit: UnitOfWork) -> int:
            interrupted = unit.generations.interrupt(request_ids, now_ms)
            for generation in interrupted:
                settle(unit, generation)
            return len(interrupted)

        return self._store.transaction(work, short=False)

    def give_up(self, owner: str, request_id: str) -> None:
        """Mark a generation whose process is gone as cancelled, unless it has another outcome."""
        self._replay_first()
        row = self._store.get(owner, request_id)
        if row is not None and row.finished_ms is None:
            kept = self.finish(replace(row, status=Status.CANCELLED, finished_ms=self._clock.now_ms()))
            if kept is Kept.SPOOLED:
                raise only_spooled()

    def replay(self) -> None:
        """Store the spooled outcomes and late bills, oldest first.

        Raises `StorageError` while the database still cannot be written.
        """
        for error in self._spool.replay(self._store_late, self._amend_late):
            self._reporter.unexpected_error(error)

    def _replay_first(self) -> None:
        """Before a row is given up: its process may have spooled its outcome.

        So whatever is given up was not spooled, and nothing is counted twice even if the row is deleted then.
        """
        try:
            self.replay()
        except OSError as error:
            # An unreadable file must not keep running rows alive.
            self._reporter.unexpected_error(error)

    def _keep(
        self, work: Work[bool], generation: Generation, stops_at: float | None, was: Generation | None = None
    ) -> Kept:
        """Store it or else spool it; what fails is reported. `was`: only its bill is new."""
        try:
            return Kept.STORED if self._store_patiently(work, stops_at) else Kept.WITHOUT_ROW
        except StorageError as error:
            self._reporter.unexpected_error(error, generation.request_id)
            try:
                self._spool.add(generation, was)
            except OSError as worse:
                self._reporter.unexpected_error(worse, generation.request_id)
                raise error from worse
            return Kept.SPOOLED

    def _store_patiently(self, work: Work[T], stops_at: float | None) -> T:
        now = self._clock.monotonic()
        gives_up_at = now + PATIENCE_S if stops_at is None else stops_at
        if now >= gives_up_at and self._was_busy:
            # Even one attempt waits a moment for a lock, and hundreds may be behind this one.
            raise StorageBusy("The process stops, and others waited for the store already.")
        for pause_s in PAUSES_S if stops_at is None else ():
            try:
                return self._try(work, gives_up_at - now)
            except StorageError:
                now = self._clock.monotonic()
                # The store may already have waited long for a lock.
                if now + pause_s > gives_up_at:
                    raise
            self._clock.sleep(pause_s)
            now += pause_s
        return self._try(work, max(0.0, gives_up_at - now))

    def _try(self, work: Work[T], wait_s: float) -> T:
        try:
            result = self._store.transaction(work, wait_s=wait_s)
        except StorageError:
            self._was_busy = True
            raise
        self._was_busy = False
        return result

    def _store_late(self, generation: Generation) -> None:
        """Also if the row was deleted: its texts stay away, but its usage counts, and its reservation is settled."""
        row = self._store.get(generation.owner, generation.request_id)
        if row is not None and (row.status, row.finished_ms) == (generation.status, generation.finished_ms):
            return
        if row is None or row.answer_id == generation.answer_id:
            self._store.transaction(lambda unit: _finish(unit, generation), wait_s=REPLAY_WAIT_S)
            return
        shared = replace(generation, answer_id=row.answer_id)

        def work(unit: UnitOfWork) -> None:
            # Its call may go on. But its process may be gone, and then no other bill comes.
            settle(unit, generation)
            unit.generations.finish_with_own_answer(shared, generation.answer_id)

        self._store.transaction(work, wait_s=REPLAY_WAIT_S)

    def _amend_late(self, was: Generation, now: Generation) -> None:
        self._store.transaction(lambda unit: _amend(unit, was, now), wait_s=REPLAY_WAIT_S)


def only_spooled() -> StorageUnavailable:
    """The error for a caller whose outcome is only spooled."""
    return StorageUnavailable(
        "The outcome of this generation could not be stored. It will appear in the history under this request's id "
        "as soon as the database can be written again.",
        retry_after_s=5,
    )


def _finish(unit: UnitOfWork, generation: Generation) -> bool:
    settle(unit, generation)
    return unit.generations.finish(generation)


def _amend(unit: UnitOfWork, was: Generation, now: Generation) -> bool:
    settle(unit, now)
    unit.generations.amend_billing(was, now)
    return True


def settle(unit: UnitOfWork, generation: Generation) -> None:
    """Only a generation with its own call has a reservation. With fallbacks, it may have one and no attempt."""
    if not (generation.attempts or generation.fallbacks):
        return
    settlement = Settlement(generation.request_id, generation.billed, generation.cost_usd, generation.unreported)
    if settlement.is_nothing:
        unit.reservations.release(generation.request_id)
    else:
        unit.reservations.settle(settlement)
