"""The generations that are under way in this process, whoever listens to them.

A `InFlightGeneration` is one request's generation; the upstream call that it reads from is a `SharedCall`, which several runs may share.
A run ends exactly once: with its flight's landing (`core.calls`), or early, because somebody cancelled it, its callers
left, or the process stops.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..clock import Clock, Waker
from ..errors import Cancelled, Ended, Failure, ServiceError, ShuttingDown, StorageError
from ..history.ports import HistoryStore
from ..limits.status import LimitStatuses
from ..templates.outputs import Outputs
from ..usage.pricing import NO_BILL, NOTHING, Bill
from .call_context import CallContext
from .model import Generation, Status
from .outcomes import OutcomeRecorder
from .ports import MakeId, Reporter, SharedCall
from .stopwatch import Stopwatch

# A call that is still there so long after its deadline hangs in a read that ignores it.
OVERDUE_S = 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last thing that a listener gets. `timings_ms` says where the time went, by name.

    `collapsed`: another request's call was joined. `replayed`: it answers an Idempotency-Key that was used before.
    `standing`: the caller's limits when it began.
    """

    generation: Generation
    timings_ms: Mapping[str, float]
    stored_in_cache: bool = False
    collapsed: bool = False
    replayed: bool = False
    standing: LimitStatuses = ()


class InFlightGeneration:
    """One generation under way. `kept`: it goes on to its end when nobody listens. `outputs`: what its answer must be."""

    def __init__(
        self,
        generation: Generation,
        flight: SharedCall,
        watch: Stopwatch,
        *,
        kept: bool,
        model_chosen: bool,
        outputs: Outputs | None = None,
    ) -> None:
        self.generation = generation
        self.flight = flight
        self.watch = watch
        self.kept = kept
        self.model_chosen = model_chosen
        self.outputs = outputs
        self.collapsed = flight.flight_id != generation.request_id
        self.attempts = 0 if self.collapsed else 1
        # Attempts that may be billed without having told; the one under way is such a one until it has.
        self._untold = 0
        self._under_way = not self.collapsed
        # What its own calls to the provider come to so far.
        self.bill = NO_BILL if self.collapsed else Bill()
        self.outcome: Finished | ServiceError | None = None
        # As its outcome was stored.
        self.stored: Generation | None = None
        # Where its text ends although the flight goes on for others.
        self.cut: int | None = None
        # It ended, and its flight went on for others.
        self.apart = False
        self.subscriptions = 0
        self.left_at: float | None = None
        self._lock = threading.Lock()
        self._claimed = False
        self._ended = threading.Event()
        self._wakers: set[Waker] = set()

    def claim_end(self) -> bool:
        """True for the one who may end it."""
        with self._lock:
            mine, self._claimed = not self._claimed, True
            return mine

    @property
    def unreported(self) -> int:
        return self._untold + self._under_way

    def begin_attempt(self, number: int) -> None:
        self.attempts = number
        self._under_way = True

    def end_attempt(self, *, untold: bool) -> None:
        """`untold`: it may be billed. Nothing more happens where it had ended."""
        self._untold += self._under_way and untold
        self._under_way = False

    def ended(self, now_ms: int, **outcome: Any) -> Generation:
        """Its generation with how it ended."""
        bill = self.bill
        known: dict[str, Any] = {
            "attempts": self.attempts,
            "unreported": self.unreported,
            "latency_ms": round(self.watch.total_ms()),
            "finished_ms": now_ms,
            "usage": self.generation.usage if self.collapsed else bill.usage,
            "billed": bill.usage,
            "cost_usd": bill.cost_usd,
            "saved_usd": NOTHING,
            "price_version": bill.price_version,
        }
        return replace(self.generation, **{**known, **outcome})

    def end(self, outcome: Finished | ServiceError) -> None:
        """Give everyone who listens the outcome; for whom `claim_end` was true."""
        self.outcome = outcome
        self._ended.set()
        for waker in tuple(self._wakers):
            waker.set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        return self._ended.wait(seconds)

    def listen(self, waker: Waker) -> None:
        with self._lock:
            self.subscriptions += 1
            self.left_at = None
            self._wakers.add(waker)

    def unlisten(self, waker: Waker, now: float) -> None:
        with self._lock:
            self.subscriptions -= 1
            self._wakers.discard(waker)
            if not self.subscriptions:
                self.left_at = now


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """An upstream call that this process makes."""

    flight: SharedCall
    control: CallContext


class InFlightRegistry:
    """All runs of this process. `tick` wants to be called about twice a second."""

    def __init__(
        self,
        *,
        history: HistoryStore,
        outcomes: OutcomeRecorder,
        clock: Clock,
        reporter: Reporter,
        make_id: MakeId,
        abandon_grace_s: float | None,
    ) -> None:
        """`abandon_grace_s` None = a run whose callers left goes on to its end."""
        self._history = history
        self._outcomes = outcomes
        self._clock = clock
        self._reporter = reporter
        self._make_id = make_id
        self._abandon_grace_s = abandon_grace_s
        self._runs: dict[str, InFlightGeneration] = {}
        self._calls: set[Call] = set()
        self._interrupt_at: float | None = None
        self._looked_at = clock.monotonic()

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def closing(self) -> bool:
        return self._interrupt_at is not None

    def add(self, run: InFlightGeneration) -> None:
        self._runs[run.generation.request_id] = run

    def remove(self, run: InFlightGeneration) -> None:
        self._runs.pop(run.generation.request_id, None)

    def add_call(self, call: Call) -> None:
        self._calls.add(call)

    def remove_call(self, call: Call) -> None:
        self._calls.discard(call)

    def get(self, owner: str, request_id: str) -> InFlightGeneration | None:
        run = self._runs.get(request_id)
        return run if run is not None and run.generation.owner == owner else None

    def of_owner(self, owner: str) -> list[InFlightGeneration]:
        return [run for run in tuple(self._runs.values()) if run.generation.owner == owner]

    def cancel(self, run: InFlightGeneration) -> Generation | None:
        """End it with what it has; returns when that is stored. The flight goes on if others share it.

        None: it had ended otherwise, or is about to. Raises `StorageError` where it has ended, but could not be stored.
        """
        return self._end_early(
            run, Status.CANCELLED, Cancelled("The generation was stopped before its answer was whole.")
        )

    def shut_down(self, interrupt_at: float) -> None:
        """No new generations from now on; what runs at `interrupt_at` (monotonic) is interrupted then."""
        self._interrupt_at = interrupt_at

    def drain(self, sleep: Callable[[float], None]) -> None:
        """Wait for what runs, until the time that `shut_down` named, and interrupt the rest; at once if it named none."""
        if self._interrupt_at is None:
            self._interrupt_at = self._clock.monotonic()
        while self._runs and self._clock.monotonic() < self._interrupt_at:
            sleep(0.05)
        self.interrupt_all()

    def interrupt_all(self) -> None:
        error = ShuttingDown("The service was stopped before the answer was whole.", retry_after_s=5)
        for run in tuple(self._runs.values()):
            self._guarded(partial(self._end_early, run, Status.INTERRUPTED, error))

    def tick(self) -> None:
        """End what nobody waits for, what is overdue, and what was cancelled in another process."""
        now = self._clock.monotonic()
        for run in tuple(self._runs.values()):
            if self._abandoned(run, now):
                self._guarded(partial(self.cancel, run))
        for call in tuple(self._calls):
            if not call.flight.members or now > call.control.deadline + OVERDUE_S:
                call.control.stop()
        if self._interrupt_at is not None and now >= self._interrupt_at:
            self.interrupt_all()
        if now - self._looked_at >= 1 and self._runs:
            self._looked_at = now
            self._guarded(self._cancel_what_runs_no_more)

    def _abandoned(self, run: InFlightGeneration, now: float) -> bool:
        return (
            not run.kept
            and self._abandon_grace_s is not None
            and run.left_at is not None
            and now - run.left_at >= self._abandon_grace_s
        )

    def _cancel_what_runs_no_more(self) -> None:
        """Another process cancelled or deleted the rows of these."""
        mine = dict(self._runs)
        for request_id in mine.keys() - self._history.running_ids():
            self.cancel(mine[request_id])

    def _end_early(self, run: InFlightGeneration, status: Status, error: Ended) -> Generation | None:
        if not run.claim_end():
            run.wait(OVERDUE_S)
            return None
        text = run.flight.text_after(0)
        run.cut = len(text)
        run.apart = run.collapsed or run.flight.members > 1
        self._leave(run)
        generation = run.ended(self._clock.now_ms(), status=status, error=error.code, output=text or None)
        self._reporter.ended(generation)

        # A process that stops has no time for a store that is busy.
        patient = status is not Status.INTERRUPTED

        def store() -> ServiceError:
            if run.apart:
                self._outcomes.finish_apart(generation, self._make_id(), patient=patient)
            else:
                self._outcomes.finish(generation, patient=patient)
            run.stored = generation
            return error

        outcome = self.conclude(run, store)
        if isinstance(outcome, StorageError):
            raise outcome
        return generation

    def conclude(
        self, run: InFlightGeneration, store: Callable[[], Finished | ServiceError]
    ) -> Finished | ServiceError:
        """End a run with the outcome that `store` gives when it is stored, or with what went wrong there; that outcome.

        Whatever happens, who listens gets an end.
        """
        try:
            outcome = store()
        except Exception as error:
            if not isinstance(error, ServiceError):
                self._reporter.unexpected_error(error, run.generation.request_id)
            outcome = Failure.of(error).error()
        run.end(outcome)
        self.remove(run)
        return outcome

    def _leave(self, run: InFlightGeneration) -> None:
        """Ends the upstream call at once if this process makes it and nobody else shares it."""
        run.flight.leave(run.generation.request_id)
        if not run.flight.members:
            for call in tuple(self._calls):
                if call.flight is run.flight:
                    call.control.stop()

    def _guarded(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception as error:
            self._reporter.unexpected_error(error)
