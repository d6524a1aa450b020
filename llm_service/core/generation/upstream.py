"""Upstream calls in the background: making them, following them, and what they come to for each generation.

A call goes on in a task of its own, whoever listens. The generation that began it leads: its task asks the provider
and writes the flight's text. Each generation that shares the call has a task that waits for the landing. Either task
stores its generation's outcome before anyone gets it.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

from ..clock import Clock
from ..errors import (
    Cancelled,
    DeadlineExceeded,
    Failure,
    InvalidOutput,
    Overloaded,
    ServiceError,
    StorageError,
    UnknownModel,
    UpstreamModelUnknown,
)
from ..history.ports import HistoryStore
from ..usage.ports import Prices
from ..usage.pricing import Bill
from ..usage.tokens import Usage
from .call_context import CallContext
from .in_flight import OVERDUE_S, Call, Finished, InFlightGeneration, InFlightRegistry
from .model import CachedAnswer, CallResult, Delta, Done, ProviderCall, Retrying, Status
from .outcomes import OutcomeRecorder
from .ports import Cache, Provider, Reporter, SharedCall, Spawn

# How long a bill that comes after its generation was stopped waits for that to be stored.
LATE_BILL_S = 10.0


class Bulkhead:
    """How many upstream calls this process may make at once. Nobody waits for one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Raises `Overloaded`."""
        with self._lock:
            if self.taken >= self.size:
                raise Overloaded("The service is making as many calls to models as it may.", retry_after_s=1)
            self.taken += 1

    def give_back(self) -> None:
        with self._lock:
            self.taken -= 1


class UpstreamCaller:
    """Built once per process."""

    def __init__(
        self,
        *,
        provider: Provider,
        prices: Prices,
        cache: Cache,
        history: HistoryStore,
        outcomes: OutcomeRecorder,
        clock: Clock,
        runs: InFlightRegistry,
        slots: Bulkhead,
        spawn: Spawn,
        reporter: Reporter,
    ) -> None:
        self._provider = provider
        self._prices = prices
        self._cache = cache
        self._history = history
        self._outcomes = outcomes
        self._clock = clock
        self._runs = runs
        self.slots = slots
        self._spawn = spawn
        self._reporter = reporter

    def lead(
        self,
        run: InFlightGeneration,
        call: ProviderCall,
        deadline: float,
        *,
        remember: bool,
        may_retry: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make the call in the background; a slot was taken for it. `remember`: a complete answer goes to the cache.

        `may_retry` is asked before each further attempt.
        """
        control = CallContext(deadline, may_restart=lambda: not run.flight.shown, may_retry=may_retry)
        self._runs.add(run)
        self._runs.add_call(underway := Call(run.flight, control))
        self._spawn(lambda: self._lead(run, call, underway, remember))

    def follow(self, run: InFlightGeneration, deadline: float) -> None:
        """Wait in the background for a call that somebody else makes."""
        self._runs.add(run)
        self._spawn(lambda: self._follow(run, deadline))

    def _lead(self, run: InFlightGeneration, call: ProviderCall, underway: Call, remember: bool) -> None:
        landing = self._fly(run, call, underway.control)
        self.slots.give_back()
        self._runs.remove_call(underway)
        try:
            self._settle(run, landing, remember)
        finally:
            run.flight.complete(landing)
            run.flight.leave(run.generation.request_id)
        self._bill_late(run)

    def _follow(self, run: InFlightGeneration, deadline: float) -> None:
        landing = run.flight.wait_landed(deadline + 2 * OVERDUE_S - self._clock.monotonic())
        late = Failure.of(DeadlineExceeded("The answer took longer than a generation may take."))
        self._settle(run, landing or CallResult(failure=late), remember=False)
        run.flight.leave(run.generation.request_id)

    def _fly(self, run: InFlightGeneration, call: ProviderCall, control: CallContext) -> CallResult:
        try:
            return CallResult(done=self._relay(run, call, control))
        except Exception as error:
            run.end_attempt(untold=control.stopped or getattr(error, "may_be_billed", True))
            return CallResult(failure=self._why(error, run, control))

    def _why(self, error: Exception, run: InFlightGeneration, control: CallContext) -> Failure:
        """What to call it: a call that was stopped breaks like any other, but for our own reason."""
        if control.stopped and self._clock.monotonic() > control.deadline:
            return Failure.of(DeadlineExceeded("The answer took longer than a generation may take."))
        if control.stopped:
            return Failure.of(Cancelled("The call was stopped."))
        if not isinstance(error, ServiceError):
            self._reporter.unexpected_error(error, run.generation.request_id)
        return Failure.of(error)

    def _relay(self, run: InFlightGeneration, call: ProviderCall, control: CallContext) -> Done:
        flight = run.flight
        with closing(self._provider.stream(call, control)) as events:
            for event in events:
                if isinstance(event, Delta):
                    flight.append(event.text)
                elif isinstance(event, Retrying):
                    run.end_attempt(untold=event.may_be_billed)
                    run.begin_attempt(event.attempt)
                    _begin_anew(flight)
                else:
                    run.bill = run.bill.plus(self._priced(run, event.usage))
                    run.end_attempt(untold=not event.usage.is_whole)
                    if isinstance(event, Done):
                        return event
        raise AssertionError("a provider ends with Done or an error")

    def _settle(self, run: InFlightGeneration, landing: CallResult, remember: bool) -> None:
        """Store what the landing is for this generation, and tell who listens."""
        if not run.claim_end():
            if remember and landing.done and not _fault_of(run, landing.done):
                self._remember(run, landing.done)  # for those who share the call
            return
        run.watch.lap("upstream")
        self._runs.conclude(run, lambda: self._stored(run, landing, remember))

    def _stored(self, run: InFlightGeneration, landing: CallResult, remember: bool) -> Finished | ServiceError:
        if landing.done is None:
            return self._stored_failure(run, landing)
        done = landing.done
        invalid = _fault_of(run, done)
        generation = run.ended(
            self._clock.now_ms(),
            status=Status.FAILED if invalid else done.status,
            error=invalid.code if invalid else None,
            output=done.text,
            usage=done.usage,
            incomplete_reason=done.incomplete_reason,
            upstream_request_id=done.upstream_request_id,
            **({} if invalid else self._saved(run, done)),
        )
        kept = self._outcomes.finish(generation)
        run.stored = generation
        if invalid:
            self._reporter.ended(generation)
            return invalid
        stored = remember and kept and self._remember(run, done)
        run.watch.lap("store")
        return Finished(generation, run.watch.laps_ms, stored_in_cache=stored, collapsed=run.collapsed)

    def _stored_failure(self, run: InFlightGeneration, landing: CallResult) -> ServiceError:
        assert landing.failure is not None
        error = landing.failure.error()
        if isinstance(error, UpstreamModelUnknown) and run.model_chosen:
            error = UnknownModel(run.generation.model, None)
        status = Status.CANCELLED if isinstance(error, Cancelled) else Status.FAILED
        text = run.flight.text_after(0) or None
        generation = run.ended(self._clock.now_ms(), status=status, error=error.code, output=text)
        self._outcomes.finish(generation)
        run.stored = generation
        self._reporter.ended(generation)
        return error

    def _bill_late(self, run: InFlightGeneration) -> None:
        """A call that went on for others after its own generation was stopped is that generation's to pay all the same.

        What was held for it is given back only now.
        """
        run.wait(LATE_BILL_S)
        was, bill, unreported = run.stored, run.bill, run.unreported
        if was is None or (not run.apart and (was.billed, was.unreported) == (bill.usage, unreported)):
            return
        known: dict[str, Any] = {"billed": bill.usage, "cost_usd": bill.cost_usd, "price_version": bill.price_version}
        now = replace(was, **known, unreported=unreported)
        try:
            self._history.bill_late(was, now)
        except StorageError as error:
            self._reporter.unexpected_error(error, was.request_id)

    def _priced(self, run: InFlightGeneration, usage: Usage) -> Bill:
        return Bill.of(usage, self._prices.of(run.generation.model))

    def _saved(self, run: InFlightGeneration, done: Done) -> dict[str, Any]:
        """What sharing the call saved this generation, where it did."""
        if not run.collapsed:
            return {}
        bill = self._priced(run, done.usage)
        return {"saved_usd": bill.cost_usd, "price_version": bill.price_version}

    def _remember(self, run: InFlightGeneration, done: Done) -> bool:
        """Only complete answers are used again."""
        if done.status is not Status.COMPLETED:
            return False
        generation, bill = run.generation, self._priced(run, done.usage)
        answer = CachedAnswer(
            owner=generation.owner,
            answer_id=generation.answer_id,
            input=generation.input,
            parameters=generation.parameters,
            output=done.text,
            model=generation.model,
            usage=done.usage,
            cost_usd=bill.cost_usd,
            price_version=bill.price_version,
        )
        self._cache.put(generation.cache_key, answer)
        return True


def _fault_of(run: InFlightGeneration, done: Done) -> InvalidOutput | None:
    """What is wrong with an answer that must be JSON; a refusal and a cut say so in their own way."""
    if run.outputs is None or done.status is not Status.COMPLETED:
        return None
    try:
        run.outputs.parse(done.text)
    except InvalidOutput as error:
        return error
    return None


def _begin_anew(flight: SharedCall) -> None:
    if flight.text_after(0):
        flight.restart()
