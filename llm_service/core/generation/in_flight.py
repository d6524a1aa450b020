"""The life of a generation, from its `running` row to its stored outcome.

    RUNNING     its call is in progress: its own, or one that it joined
      | finish(outcome): the call ended, it was cancelled, its callers left, or the process stops
    FINISHING   its outcome is being stored; nothing else can end it
      |
    FINISHED    subscribers have the result

It reads from a `SharedCall`, an upstream call that several generations may share.

Longer than other modules: whatever changes a generation while it runs is in one place.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from ..clock import Clock, Waker
from ..errors import Failure, ServiceError, StorageError
from ..limits.status import LimitStatuses
from ..templates.outputs import Outputs
from ..usage.ports import Prices
from ..usage.pricing import REPORTED, ZERO_USD, Bill
from .billing import AttemptBilling, tried_model, whole_bill
from .model import CachedAnswer, CallResult, Done, Generation, Status
from .outcomes import Kept, Outcome, OutcomeRecorder, only_spooled
from .ports import Cache, MakeId, Reporter, SharedCall
from .preparation import PreparedCall
from .stopwatch import Stopwatch
from .tried_models import AnsweredBy

# The time of a model that failed before another one was asked: with its number, the name of a step in `timings_ms`.
FALLBACK_LAP = "fallback-"


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
    def stops_at(self) -> float | None:
        """If the process stops: until when an outcome that ends now may wait for the store (monotonic)."""
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
        # Its outcome, and where that is. None: it could not be kept.
        self._outcome: Generation | None = None
        self._kept: Kept | None = None
        # Its text when it left its call, which may continue for others, or restart.
        self._text_kept: str | None = None
        self._left_call = False
        # Its call was lost, and one that shares it made it again.
        self.made_again = False
        # If it is another one than its row has, its texts move there at its end.
        self._own_answer_id = running.answer_id
        # The answer of a fallback that was in the cache.
        self._found: CachedAnswer | None = None

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

    @property
    def has_ended(self) -> bool:
        """Whether it is over, or about to be."""
        return self._state is not State.RUNNING

    def wait_finished(self, timeout_s: float) -> bool:
        return self._uses.clock.wait(self._finished, timeout_s)

    @property
    def restarts(self) -> int:
        return self.call.restarts

    @property
    def is_over(self) -> bool:
        """Whether no more text comes."""
        return self.has_ended

    def watch(self, waker: Waker) -> None:
        """Set the waker on every change of its text, and at its end, until `unwatch`. Who watches is a subscriber."""
        self.subscribers.add(waker)
        self.call.watch(waker)

    def unwatch(self, waker: Waker) -> None:
        self.call.unwatch(waker)
        self.subscribers.remove(waker, self._uses.clock.monotonic())

    def text_after(self, position: int) -> str:
        return self.call.text_after(position) if self._text_kept is None else self._text_kept[position:]

    @property
    def answered_by(self) -> AnsweredBy | None:
        """For those who share its call; None if only one model was asked."""
        now = self.generation
        if not now.fallbacks:
            return None
        tried = tuple(model.without_bill() for model in now.fallbacks)
        return AnsweredBy(now.model, now.provider, now.cache_key, tried)

    def take_over(self) -> bool:
        """From now on it makes the call that it joined. Nothing of it is paid yet. False: it has ended."""
        with self._lock:
            if self.has_ended:
                return False
            now = self.generation
            self.billing = AttemptBilling(now.model, now.provider, self._uses.prices, joined=False, begun=False)
            self.collapsed = False
            self.made_again = True
            return True

    def ask_next(self, error: ServiceError, candidate: PreparedCall, *, asked: bool) -> None:
        """The model that its call asked failed with `error`, and `candidate` is next. `asked` False: it had no slot."""
        was = self.generation
        self.billing.end(may_be_billed=asked and error.may_be_billed)
        tried = tried_model(was.model, was.provider, error.code, self.billing, asked=asked)
        self.billing = AttemptBilling(
            candidate.model, candidate.provider.name, self._uses.prices, joined=False, begun=False
        )
        self.generation = replace(
            was,
            model=candidate.model,
            provider=candidate.provider.name,
            cache_key=candidate.cache_key,
            fallbacks=(*was.fallbacks, tried),
        )
        self._stopwatch.lap(f"{FALLBACK_LAP}{len(self.generation.fallbacks)}")
        self._uses.reporter.fell_back(self.generation, error)

    def take_from_cache(self, answer: CachedAnswer) -> Done:
        """Its call ends with a cached answer of the model that was next."""
        self._found, now = answer, self.generation
        self.billing = AttemptBilling(now.model, now.provider, self._uses.prices, joined=True)
        # For those who share the call: what they save.
        reported = answer.cost_usd if answer.price_version == REPORTED else None
        return Done(Status.COMPLETED, answer.output, answer.usage, answer.model, cost_usd=reported)

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
            if result.made_again:
                self._share_no_texts()
            if self.collapsed and (by := result.answered_by) is not None:
                self.generation = replace(
                    self.generation, model=by.model, provider=by.provider, cache_key=by.cache_key, fallbacks=by.tried
                )
            return Outcome.of(
                result,
                self.traits.outputs,
                # The caller chose the first of several models.
                model_chosen=None if self.generation.fallbacks else self.traits.model_chosen,
                messages=self.generation.messages,
            )
        except Exception as error:
            return Outcome(Status.FAILED, error=self._error_of(error))

    def offer_to_cache(self, outcome: Outcome) -> bool:
        """Cache the answer of its own call, if allowed. Returns whether it did."""
        done = outcome.done
        if self.collapsed or not self.traits.cacheable or not outcome.is_cacheable or done is None or self._found:
            return False
        if self.made_again and self._left_call:
            return False  # no row has the answer's texts under the id that its own had
        bill = self._bill_of(done)
        return self._uses.cache.put(self.generation.cache_key, _cached_answer(self.generation, done, bill))

    def amend_billing(self) -> None:
        """After its call ended: store the whole bill if the outcome was known before the call reported it."""
        was, current = self._outcome, self.generation
        whole = whole_bill(current.fallbacks, self.billing)
        known = was and (was.billed, was.unreported, was.fallbacks)
        if was is None or (not self._left_call and known == (whole.bill.usage, whole.unreported, current.fallbacks)):
            return
        now = replace(
            was,
            billed=whole.bill.usage,
            cost_usd=whole.bill.cost_usd,
            price_version=whole.bill.price_version,
            unreported=whole.unreported,
            attempts=whole.attempts,
            model=current.model,
            provider=current.provider,
            cache_key=current.cache_key,
            fallbacks=current.fallbacks,
        )
        if self._kept is None:
            if isinstance(self._result, StorageError):
                # It could neither be stored nor spooled. Perhaps it can now; if not, the recorder reports it.
                with suppress(StorageError):
                    self._keep(now)
            return
        spooled = self._kept is Kept.SPOOLED
        self._uses.recorder.amend_billing(was, now, spooled=spooled, stops_at=self._uses.registry.stops_at)

    def _bill_of(self, done: Done) -> Bill:
        """What the answer alone cost, whoever paid for it."""
        if not self.collapsed and self.billing.bill.usage is done.usage:
            return self.billing.bill  # of the only attempt
        price = self._uses.prices.of(self.generation.model, self.generation.provider)
        return Bill.of(done.usage, price, done.cost_usd)

    def _error_of(self, error: Exception) -> ServiceError:
        if not isinstance(error, ServiceError):
            self._uses.reporter.unexpected_error(error, self.request_id)
        return Failure.of(error).error()

    def _leave_call(self) -> None:
        """Keep the text so far, and leave the call to those who share it."""
        self._text_kept = self.call.text_after(0)
        shared = self.call.leave(self.request_id)
        # One that took its call over has the texts of the generation that began it.
        if self.collapsed or shared or self.generation.answer_id != self.request_id:
            self._left_call, self._own_answer_id = True, self._uses.make_id()
        self._uses.registry.stop_unless_shared(self.call)

    def _share_no_texts(self) -> None:
        """Who led its call before may still answer those of its own process, and differently, under the same id."""
        self.made_again = True
        if not self._left_call:
            self._own_answer_id = self.request_id

    def _ended(self, outcome: Outcome) -> Generation:
        """Its generation with the outcome."""
        done, whole = outcome.done, whole_bill(self.generation.fallbacks, self.billing)
        bill = whole.bill
        known: dict[str, Any] = {
            "status": outcome.status,
            "error": outcome.error.code if outcome.error else None,
            "output": done.text if done else self.text_after(0) or None,
            "usage": done.usage if done else self.generation.usage if self.collapsed else bill.usage,
            "warnings": outcome.warnings,
            "incomplete_reason": done.incomplete_reason if done else None,
            "upstream_request_id": done.upstream_request_id if done else None,
            "attempts": whole.attempts,
            "unreported": whole.unreported,
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
        if self._found is not None and done:
            known |= {"cached": True, "saved_usd": self._found.cost_usd, "price_version": self._found.price_version}
        return replace(self.generation, **known)

    def _record(self, generation: Generation, outcome: Outcome) -> GenerationResult | ServiceError:
        if outcome.error is not None:
            self._uses.reporter.ended(generation)
        moves = self._own_answer_id != generation.answer_id
        self._outcome = replace(generation, answer_id=self._own_answer_id) if moves else generation
        self._kept = self._keep(self._outcome)
        if self._kept is Kept.SPOOLED:
            raise only_spooled()
        if outcome.error is not None:
            return outcome.error
        if moves:
            self.generation = replace(self.generation, answer_id=self._own_answer_id)
        stored_in_cache = self._kept is Kept.STORED and self.offer_to_cache(outcome)
        self._stopwatch.lap("store")
        return GenerationResult(self._outcome, self._stopwatch.laps_ms, stored_in_cache, self.collapsed)

    def _keep(self, outcome: Generation) -> Kept:
        recorder, stops_at = self._uses.recorder, self._uses.registry.stops_at
        if outcome.answer_id != self.generation.answer_id:
            shared = replace(outcome, answer_id=self.generation.answer_id)
            return recorder.finish_with_own_answer(
                shared, outcome.answer_id, ends_call=not self._left_call, stops_at=stops_at
            )
        return recorder.finish(outcome, stops_at=stops_at)


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
