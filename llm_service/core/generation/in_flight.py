"""The life of a generation, from its `running` row to its stored outcome.

    RUNNING     its call is in progress: its own, or one that it joined
      | finish(outcome): the call ended, it was cancelled, its callers left, or the process stops
    FINISHING   its outcome is being stored; nothing else can end it
      |
    FINISHED    subscribers have the result

It reads from a `SharedCall`, an upstream call that several generations may share.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from ..clock import Clock, Waker
from ..errors import Failure, ServiceError
from ..limits.status import LimitStatuses
from ..templates.outputs import Outputs
from ..usage.ports import Prices
from ..usage.pricing import ZERO_USD, Bill
from .billing import AttemptBilling
from .model import CachedAnswer, CallResult, Done, Generation, Status
from .outcomes import Outcome, OutcomeRecorder
from .ports import Cache, MakeId, Reporter, SharedCall
from .stopwatch import Stopwatch


class State(Enum):
    RUNNING = "running"
    FINISHING = "finishing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What a subscriber gets last. `timings_ms`: milliseconds by step.

    `collapsed`: it joined another request's call. `replayed`: it answers an Idempotency-Key that was used before.
    `limits`: the caller's limits when it began.
    """

    generation: Generation
    timings_ms: Mapping[str, float]
    stored_in_cache: bool = False
    collapsed: bool = False
    replayed: bool = False
    limits: LimitStatuses = ()


class Registry(Protocol):
    """Keeps the generations and the upstream calls of this process."""

    @property
    def closing(self) -> bool:
        """Whether the process stops."""
        ...

    def remove(self, generation: "InFlightGeneration") -> None: ...

    def stop_unless_shared(self, call: SharedCall) -> None:
        """End an upstream call of this process that no generation shares any more."""
        ...


@dataclass(frozen=True, slots=True)
class Collaborators:
    """Objects that all generations of a process use. `cache` gets complete answers."""

    registry: "Registry"
    recorder: OutcomeRecorder
    cache: Cache
    prices: Prices
    clock: Clock
    reporter: Reporter
    make_id: MakeId


@dataclass(frozen=True, slots=True)
class Traits:
    """How a generation behaves, from its request.

    `detached`: it continues when nobody is subscribed. `cacheable`: a complete answer of its own call is cached.
    `outputs`: the outputs that its answer must match. `model_chosen`: the model that its caller asked for.
    """

    detached: bool = False
    cacheable: bool = True
    outputs: Outputs | None = None
    model_chosen: str | None = None


class InFlightGeneration:
    """A generation in progress. Only `finish` ends it, and only once."""

    def __init__(
        self, running: Generation, call: SharedCall, stopwatch: Stopwatch, traits: Traits, uses: Collaborators
    ) -> None:
        """`running`: its row."""
        self.generation = running
        self.call = call
        self.traits = traits
        self.collapsed = call.call_id != running.request_id
        self.billing = AttemptBilling(running.model, running.provider, uses.prices, joined=self.collapsed)
        self.subscribers = Subscribers()
        self._stopwatch = stopwatch
        self._uses = uses
        self._lock = threading.Lock()
        self._state = State.RUNNING
        self._finished = threading.Event()
        self._result: GenerationResult | ServiceError | None = None
        self._stored: Generation | None = None
        # Its text when it left its call, which may continue for others, or restart.
        self._text_kept: str | None = None
        self._left_call = False

    @property
    def request_id(self) -> str:
        return self.generation.request_id

    @property
    def state(self) -> State:
        return self._state

    @property
    def result(self) -> GenerationResult | ServiceError | None:
        """None until it is finished."""
        return self._result

    def wait_finished(self, timeout_s: float) -> bool:
        return self._uses.clock.wait(self._finished, timeout_s)

    def text_after(self, position: int) -> str:
        return self.call.text_after(position) if self._text_kept is None else self._text_kept[position:]

    def finish(self, outcome: Outcome) -> Generation | None:
        """End it: store the outcome and give it to all subscribers. Returns the final generation; None: it had ended.

        Nothing is raised: if it fails on the way, subscribers get that error.
        """
        with self._lock:
            if self._state is not State.RUNNING:
                return None
            self._state = State.FINISHING
        generation = self.generation
        try:
            if outcome.early:
                self._leave_call()
            else:
                self._stopwatch.lap("upstream")
            generation = self._ended(outcome)
            self._result = self._record(generation, outcome)
        except Exception as error:
            self._result = self._error_of(error)
        self._state = State.FINISHED
        self._finished.set()
        self.subscribers.wake()
        self._uses.registry.remove(self)
        return generation

    def result_of(self, result: CallResult) -> Outcome:
        """The outcome for this generation of the end of its call. Whatever fails here, it has one."""
        try:
            return Outcome.of(
                result,
                self.traits.outputs,
                model_chosen=self.traits.model_chosen,
                messages=self.generation.messages,
            )
        except Exception as error:
            return Outcome(Status.FAILED, error=self._error_of(error))

    def offer_to_cache(self, outcome: Outcome) -> bool:
        """Cache the answer of its own call, if allowed. Returns whether it did."""
        done = outcome.done
        if self.collapsed or not self.traits.cacheable or not outcome.is_cacheable or done is None:
            return False
        bill = self._bill_of(done)
        return self._uses.cache.put(self.generation.cache_key, _cached_answer(self.generation, done, bill))

    def amend_billing(self) -> None:
        """After its call ended: store the whole bill if the outcome was stored before the call reported it."""
        was, bill, unreported = self._stored, self.billing.bill, self.billing.unreported
        if was is None or (not self._left_call and (was.billed, was.unreported) == (bill.usage, unreported)):
            return
        now = replace(
            was, billed=bill.usage, cost_usd=bill.cost_usd, price_version=bill.price_version, unreported=unreported
        )
        self._uses.recorder.amend_billing(was, now)

    def _bill_of(self, done: Done) -> Bill:
        """What the answer alone cost, whoever paid for it."""
        price = self._uses.prices.of(self.generation.model, self.generation.provider)
        return Bill.of(done.usage, price, done.cost_usd)

    def _error_of(self, error: Exception) -> ServiceError:
        if not isinstance(error, ServiceError):
            self._uses.reporter.unexpected_error(error, self.request_id)
        return Failure.of(error).error()

    def _leave_call(self) -> None:
        """Keep the text so far, and leave the call to those who share it."""
        self._text_kept = self.call.text_after(0)
        self._left_call = self.collapsed or self.call.members > 1
        self.call.leave(self.request_id)
        self._uses.registry.stop_unless_shared(self.call)

    def _ended(self, outcome: Outcome) -> Generation:
        """Its generation with the outcome."""
        done, bill = outcome.done, self.billing.bill
        known: dict[str, Any] = {
            "status": outcome.status,
            "error": outcome.error.code if outcome.error else None,
            "output": done.text if done else self.text_after(0) or None,
            "usage": done.usage if done else self.generation.usage if self.collapsed else bill.usage,
            "warnings": outcome.warnings,
            "incomplete_reason": done.incomplete_reason if done else None,
            "upstream_request_id": done.upstream_request_id if done else None,
            "attempts": self.billing.attempts,
            "unreported": self.billing.unreported,
            "billed": bill.usage,
            "cost_usd": bill.cost_usd,
            "saved_usd": ZERO_USD,
            "price_version": bill.price_version,
            "latency_ms": round(self._stopwatch.total_ms()),
            "finished_ms": self._uses.clock.now_ms(),
        }
        if self.collapsed and done and outcome.error is None:
            saved = self._bill_of(done)
            known |= {"saved_usd": saved.cost_usd, "price_version": saved.price_version}
        return replace(self.generation, **known)

    def _record(self, generation: Generation, outcome: Outcome) -> GenerationResult | ServiceError:
        recorder = self._uses.recorder
        if outcome.error is not None:
            self._uses.reporter.ended(generation)
        # A process that stops cannot wait long for a busy store.
        patient = not (self._uses.registry.closing or outcome.status is Status.INTERRUPTED)
        if self._left_call:
            kept = recorder.finish_with_own_answer(generation, self._uses.make_id(), patient=patient)
        else:
            kept = recorder.finish(generation, patient=patient)
        self._stored = generation
        if outcome.error is not None:
            return outcome.error
        stored_in_cache = kept and self.offer_to_cache(outcome)
        self._stopwatch.lap("store")
        return GenerationResult(generation, self._stopwatch.laps_ms, stored_in_cache, self.collapsed)


class Subscribers:
    """The wakers of those who wait for a generation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: set[Waker] = set()
        self._left_at: float | None = None

    def add(self, waker: Waker) -> None:
        with self._lock:
            self._wakers.add(waker)
            self._left_at = None

    def remove(self, waker: Waker, now: float) -> None:
        with self._lock:
            self._wakers.discard(waker)
            if not self._wakers:
                self._left_at = now

    def wake(self) -> None:
        for waker in tuple(self._wakers):
            waker.set()

    def gone_for_s(self, now: float) -> float | None:
        """Seconds since the last one left; None if there is one, or was none yet."""
        return None if self._left_at is None else now - self._left_at


def _cached_answer(generation: Generation, done: Done, bill: Bill) -> CachedAnswer:
    return CachedAnswer(
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
