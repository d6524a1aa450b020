"""How a generation ends, and how that is stored, even if the database cannot be written.

An answer was paid for. If its row cannot be written, the write is retried for two seconds, the time that it waits for a
lock included, then the row is spooled to a file. A process that stops waits half a second at most. No caller gets an answer that is not in the history, and none is lost. All outcomes are stored here: answers,
failures, cancellations, and those of dead processes. The same transaction settles the call's reservation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..clock import Clock
from ..errors import (
    Cancelled,
    InvalidOutput,
    ServiceError,
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

PAUSES_S = (0.5, 0.5, 1.0)
# For all attempts together.
PATIENCE_S = 2.0
# Many outcomes may end at the same time, and a process that is killed spools nothing.
STOPPING_PATIENCE_S = 0.5
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


class OutcomeRecorder:
    """Built once per process."""

    def __init__(self, store: GenerationStore, spool: Spool, clock: Clock, reporter: Reporter) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._reporter = reporter

    def finish(self, generation: Generation, *, patient: bool = True) -> bool:
        """As `GenerationWriter.finish`; also settles the call's reservation. `patient` False: the process stops.

        Raises `StorageUnavailable` if the outcome is only spooled: `replay` adds it to the history.
        """
        return self._stored(lambda unit: _finish(unit, generation), generation, patient)

    def finish_with_own_answer(self, generation: Generation, answer_id: str, *, patient: bool = True) -> bool:
        """As `GenerationWriter.finish_with_own_answer`; raises as `finish` does.

        Its call continues for others: the reservation is kept until `amend_billing`.
        """
        return self._stored(
            lambda unit: unit.generations.finish_with_own_answer(generation, answer_id),
            replace(generation, answer_id=answer_id),
            patient,
        )

    def amend_billing(self, was: Generation, now: Generation) -> None:
        """Store a bill that came after the outcome. A failing store is only reported."""

        def work(unit: UnitOfWork) -> None:
            settle(unit, now)
            unit.generations.amend_billing(was, now)

        try:
            self._store.transaction(work)
        except StorageError as error:
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
            self.finish(replace(row, status=Status.CANCELLED, finished_ms=self._clock.now_ms()))

    def replay(self) -> None:
        """Store the spooled outcomes, oldest first.

        Raises `StorageError` while the database still cannot be written.
        """
        for error in self._spool.replay(self._store_late):
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

    def _stored(self, work: Callable[[UnitOfWork], bool], generation: Generation, patient: bool) -> bool:
        now = self._clock.monotonic()
        gives_up_at = now + (PATIENCE_S if patient else STOPPING_PATIENCE_S)
        for pause_s in (*(PAUSES_S if patient else ()), None):
            try:
                return self._store.transaction(work, wait_s=gives_up_at - now)
            except StorageError as error:
                now = self._clock.monotonic()
                # The store may already have waited long for a lock.
                if pause_s is None or now + pause_s > gives_up_at:
                    self._spool_it(generation, error)
                    break
            self._clock.sleep(pause_s)
            now += pause_s
        raise StorageUnavailable(
            "The outcome of this generation could not be stored. It will appear in the history under this request's id "
            "as soon as the database can be written again.",
            retry_after_s=5,
        )

    def _spool_it(self, generation: Generation, error: StorageError) -> None:
        self._reporter.unexpected_error(error, generation.request_id)
        try:
            self._spool.add(generation)
        except OSError as worse:
            self._reporter.unexpected_error(worse, generation.request_id)
            raise error from worse

    def _store_late(self, generation: Generation) -> None:
        """Also if the row was deleted: its texts stay away, but its usage counts, and its reservation is settled."""
        row = self._store.get(generation.owner, generation.request_id)
        if row is not None and (row.status, row.finished_ms) == (generation.status, generation.finished_ms):
            return
        if row is None or row.answer_id == generation.answer_id:
            self._store.transaction(lambda unit: _finish(unit, generation), wait_s=REPLAY_WAIT_S)
        else:
            late = replace(generation, answer_id=row.answer_id)
            self._store.transaction(
                lambda unit: unit.generations.finish_with_own_answer(late, generation.answer_id), wait_s=REPLAY_WAIT_S
            )


def _finish(unit: UnitOfWork, generation: Generation) -> bool:
    settle(unit, generation)
    return unit.generations.finish(generation)


def settle(unit: UnitOfWork, generation: Generation) -> None:
    """Only a generation with its own call has a reservation."""
    if not generation.attempts:
        return
    settlement = Settlement(generation.request_id, generation.billed, generation.cost_usd, generation.unreported)
    if settlement.is_nothing:
        unit.reservations.release(generation.request_id)
    else:
        unit.reservations.settle(settlement)
