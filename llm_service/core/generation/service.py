"""The main job: template -> typed values -> messages -> cache -> shared call or a call of its own -> history.

There is one path. `begin` returns a subscription to a generation that runs in the background; `run` waits for that
subscription. A generation is stored as `running` before the provider is called, and with its outcome before any caller
gets it: every answer is in the history.

Longer than other modules: the way of a request is one text.
"""

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ..access.caller import Caller
from ..errors import (
    Cancelled,
    Failure,
    FieldError,
    IdempotencyConflict,
    IdempotencyMismatch,
    InvalidInput,
    Overloaded,
    ServiceError,
    ShuttingDown,
    UnpricedModel,
)
from ..limits.errors import LimitError
from ..limits.limiter import AskedModel, Limiter
from ..limits.rules import Reservation, ReservationResult
from ..limits.status import LimitStatuses
from ..templates.revisions import RevisionService
from ..usage.pricing import NO_BILL, REPORTED
from ..usage.tokens import Usage
from .bulkhead import HeldSlot
from .candidates import UpstreamCall
from .in_flight import Collaborators, GenerationResult, InFlightGeneration, Traits
from .model import (
    FREES_KEY,
    CachedAnswer,
    CacheMode,
    CallResult,
    Done,
    GenerateRequest,
    Generation,
    IdempotencyKey,
    Status,
    snippet_of,
)  # fmt: skip
from .ports import GenerationStore, IdempotencyStore, SharedCall, SingleFlight, StorageSpace, UnitOfWork
from .preparation import GenerationSettings, PreparedRequest, RequestPreparer
from .preview import most_tokens
from .registry import InFlightRegistry
from .stopwatch import Stopwatch
from .subscriptions import LocalSubscription, ReplaySubscription, Subscription, Subscriptions
from .upstream import UpstreamCaller

T = TypeVar("T")
# How often `run` checks whether the caller has left.
CALLER_CHECK_S = 2.0
# A request has its key a moment before its row: the pauses between looks for the row.
HOLDER_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class _Start:
    """A prepared request that is about to begin; `detached` and `shown` as in `GenerationService.begin`."""

    prepared: PreparedRequest
    request_id: str
    stopwatch: Stopwatch
    detached: bool
    shown: bool


class GenerationService:
    """Built once per process, used by every request; holds no state."""

    def __init__(
        self,
        *,
        preparer: RequestPreparer,
        single_flight: SingleFlight,
        store: GenerationStore,
        idempotency: IdempotencyStore | None,
        upstream: UpstreamCaller,
        registry: InFlightRegistry,
        subscriptions: Subscriptions,
        collaborators: Collaborators,
        settings: GenerationSettings,
        limiter: Limiter,
        space: StorageSpace,
        revisions: RevisionService,
    ) -> None:
        """`idempotency` None = no answers are kept to repeat."""
        self._preparer = preparer
        self._single_flight = single_flight
        self._store = store
        self._idempotency = idempotency
        self._upstream = upstream
        self._registry = registry
        self._subscriptions = subscriptions
        self._uses = collaborators
        self._cache = collaborators.cache
        self._clock = collaborators.clock
        self._settings = settings
        self._limiter = limiter
        self._space = space
        self._revisions = revisions

    def run(
        self,
        request: GenerateRequest,
        caller: Caller,
        request_id: str,
        *,
        detached: bool = False,
        key: IdempotencyKey | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> GenerationResult:
        """The whole answer at once. `gone` tells whether the caller has left; the rest is as in `begin`.

        Raises `ServiceError`.
        """
        subscription = self.begin(request, caller, request_id, detached=detached, key=key, shown=False)
        with closing(subscription):
            while (result := subscription.result(CALLER_CHECK_S)) is None:
                if gone():
                    raise Cancelled("The caller disconnected before the answer was complete.")
            return replace(result, limits=subscription.limits) if subscription.limits else result

    def begin(
        self,
        request: GenerateRequest,
        caller: Caller,
        request_id: str,
        *,
        detached: bool = False,
        key: IdempotencyKey | None = None,
        shown: bool = True,
    ) -> Subscription:
        """Begin a generation and subscribe to it; the caller closes the subscription. `request_id` becomes its id.

        `detached`: it continues when nobody is subscribed. So does one with an idempotency key, whose caller may ask
        again. `shown`: the text is shown while it grows, so the call must not restart.

        Raises `ServiceError`; then the provider was not called, and nothing is stored.
        """
        stopwatch = Stopwatch(self._clock)
        prepared = self._preparer.prepare(request, caller)
        stopwatch.lap("render")
        if self._registry.closed:
            raise ShuttingDown("The service is stopping and accepts no new requests.", retry_after_s=5)
        self._revisions.keep(prepared.template)
        start = _Start(prepared, request_id, stopwatch, detached or key is not None, shown)
        if key is None:
            return self._begin(start)
        idempotency = self._idempotency
        if idempotency is None:
            message = "is not supported: this service keeps no answers to repeat. Omit it"
            raise InvalidInput.of([FieldError("Idempotency-Key", message)])
        if (replay := self._claim(idempotency, caller.owner, key, request_id)) is not None:
            return replay
        try:
            return self._begin(start)
        except ServiceError:
            idempotency.release(caller.owner, key, request_id)
            raise

    def _claim(
        self, idempotency: IdempotencyStore, owner: str, key: IdempotencyKey, request_id: str
    ) -> Subscription | None:
        """None if the key is now this request's; else the answer, finished or not, of the request that has it."""
        for pause_s in HOLDER_PAUSES_S:
            holder = idempotency.claim(owner, key, request_id, self._clock.now_ms())
            if holder is None:
                return None
            if holder.fingerprint != key.fingerprint:
                raise IdempotencyMismatch("This Idempotency-Key was used with another body.")
            joined = self._subscriptions.find(owner, holder.request_id, replayed=True)
            if joined is not None and joined.generation.status in FREES_KEY:
                continue  # it ended since, or its process is dead
            if joined is not None:
                return joined
            self._clock.sleep(pause_s)
        # Its process died before it began.
        raise IdempotencyConflict("A request with this Idempotency-Key is in progress.", retry_after_s=1)

    def _begin(self, start: _Start) -> Subscription:
        return self._subscribe(start, self._limiter.admit(start.prepared.caller, start.request_id))

    def _subscribe(self, start: _Start, limits: LimitStatuses) -> Subscription:
        """From the cache, from a call in progress, or from a new call. `limits`: as the admission left them."""
        prepared, request_id = start.prepared, start.request_id
        shareable = prepared.request.cache_mode is CacheMode.DEFAULT
        answer = self._cache.get(prepared.cache_key) if shareable else None
        start.stopwatch.lap("cache")
        if answer is not None and (replay := self._replay(start, answer, limits)) is not None:
            return replay
        call = self._single_flight.join(prepared.flight_key if shareable else None, request_id, _fingerprint(prepared))
        if start.shown:
            call.mark_shown()
        if call.call_id != request_id:
            return self._join(start, call, limits)
        try:
            if shareable and (answer := self._cache.get(prepared.cache_key, counted=False)) is not None:
                # It was cached between the lookup and the join.
                replay = self._replay(start, answer, limits)
                if replay is not None:
                    # Requests that joined since get the same answer.
                    _complete_at_once(call, answer)
                    return replay
            return self._lead(start, call, limits)
        except Exception as error:
            call.complete(CallResult(failure=Failure.of(_for_others(error))))
            raise

    def _replay(self, start: _Start, answer: CachedAnswer, limits: LimitStatuses) -> Subscription | None:
        """Serve a stored answer. It costs nothing; its token counts are those of the answer, whose cost is saved.

        None: the answer was deleted, which this process's cache did not know.
        """
        # Other values can give equal messages: then the history keeps this request's values. Texts have one owner, even
        # in a shared cache: owners delete and search only their own.
        caller, request = start.prepared.caller, start.prepared.request
        asked = (caller.owner, request.input, request.parameters)
        same = (answer.owner, answer.input, answer.parameters) == asked
        generation = self._generation(
            start,
            answer_id=answer.answer_id if same else start.request_id,
            status=Status.COMPLETED,
            cached=True,
            output=answer.output,
            usage=answer.usage,
            billed=NO_BILL.usage,
            cost_usd=NO_BILL.cost_usd,
            saved_usd=answer.cost_usd,
            price_version=answer.price_version,
            latency_ms=round(start.stopwatch.total_ms()),
            finished_ms=self._clock.now_ms(),
        )
        # A caller with a key may ask for the same answer after a power cut.
        if not self._store.record_hit(generation, answer.answer_id, durable=start.detached):
            self._cache.discard(generation.cache_key)
            return None
        start.stopwatch.lap("store")
        return ReplaySubscription(GenerationResult(generation, start.stopwatch.laps_ms, limits=limits))

    def _lead(self, start: _Start, call: SharedCall, limits: LimitStatuses) -> Subscription:
        running = self._generation(start, status=Status.RUNNING, attempts=1)

        def store(reservation: Reservation | None) -> LimitStatuses:
            return self._announced(start.request_id, lambda: self._store_running(running, reservation)) or limits

        in_flight = self._in_flight(start, running, call)
        upstream, limits = self._reserve(start, store, self._deadline)
        start.stopwatch.lap("store")
        subscription = LocalSubscription(in_flight, self._clock, limits=limits)
        self._upstream.lead(in_flight, upstream)
        return subscription

    def _reserve(
        self, start: _Start, store: Callable[[Reservation | None], T], deadline: Callable[[], float]
    ) -> tuple[UpstreamCall, T]:
        """The call to make, and what `store` returns, which reserves what the call needs."""
        prepared, candidates, slot = start.prepared, start.prepared.candidates, HeldSlot()
        self._space.require()  # before anything is paid
        first = slot.take_first_free([each.provider.bulkhead for each in candidates])
        try:
            models = [
                AskedModel(
                    each.model, each.provider.name, partial(most_tokens, each.call, each.candidate.context_tokens)
                )
                for each in candidates
            ]
            reservation = self._limiter.for_call(prepared.caller, start.request_id, models)
            stored = store(reservation)
        except BaseException:
            slot.release()
            raise
        may_retry = partial(self._limiter.reserve_retry, reservation)
        look_up = self._find_cached if prepared.request.cache_mode is CacheMode.DEFAULT else _find_nothing
        return UpstreamCall(candidates, slot, deadline(), first, may_retry, look_up), stored

    def _take_over(self, start: _Start, in_flight: InFlightGeneration, deadline: float) -> UpstreamCall:
        """The call that a generation makes whose leader was lost: it pays, and its own limits apply.

        Raises `ServiceError`; then nothing is reserved.
        """
        if not in_flight.take_over():
            raise _ended()
        upstream, _ = self._reserve(start, partial(self._begin_call, in_flight.generation), lambda: deadline)
        in_flight.billing.begin(1)
        if in_flight.has_ended:
            # Its outcome was stored before it owed anything.
            upstream.slot.release()
            self._store.transaction(lambda unit: unit.reservations.release(start.request_id))
            raise _ended()
        return upstream

    def _begin_call(self, generation: Generation, reservation: Reservation | None) -> None:
        def work(unit: UnitOfWork) -> ReservationResult | None:
            result = unit.reservations.reserve(reservation) if reservation else None
            if result is None or result.refused is None:
                unit.generations.begin_call(generation)
            return result

        result = self._store.transaction(work)
        if reservation is not None and result is not None:
            self._limiter.check(result, reservation)

    def _find_cached(self, key: str) -> CachedAnswer | None:
        """The stored answer of a fallback."""
        answer = self._cache.get(key)
        if answer is None or self._store.has_answer(answer.answer_id):
            return answer
        self._cache.discard(key)
        return None

    def _store_running(self, running: Generation, reservation: Reservation | None) -> LimitStatuses:
        """Store the row and its reservation, or neither if the reservation is refused.

        Raises `LimitError`.
        """
        if reservation is None:
            self._store.record_started(running)
            return ()

        def work(unit: UnitOfWork) -> ReservationResult:
            result = unit.reservations.reserve(reservation)
            if result.refused is None:
                unit.generations.start(running)
            return result

        return self._limiter.check(self._store.transaction(work), reservation)

    def _join(self, start: _Start, call: SharedCall, limits: LimitStatuses) -> Subscription:
        """Share a call in progress. It costs nothing; the generation that began it pays."""
        same = call.fingerprint == _fingerprint(start.prepared)
        answer_id = call.call_id if same else start.request_id
        try:
            running = self._generation(start, status=Status.RUNNING, answer_id=answer_id)
            in_flight = self._announced(
                start.request_id, lambda: self._in_flight(start, self._store.record_started(running), call)
            )
        except BaseException:
            call.leave(start.request_id)
            raise
        self._cache.count_coalesced()
        start.stopwatch.lap("store")
        subscription = LocalSubscription(in_flight, self._clock, limits=limits)
        deadline = self._deadline()
        self._upstream.follow(in_flight, deadline, partial(self._take_over, start, in_flight, deadline))
        return subscription

    def _announced(self, request_id: str, store: Callable[[], T]) -> T:
        """Store a running row that other processes know to be this one's."""
        self._registry.announce(request_id)
        try:
            return store()
        except BaseException:
            self._registry.withdraw(request_id)
            raise

    def _in_flight(self, start: _Start, running: Generation, call: SharedCall) -> InFlightGeneration:
        request = start.prepared.request
        traits = Traits(
            detached=start.detached,
            cacheable=request.cache_mode is not CacheMode.NO_STORE,
            outputs=start.prepared.template.outputs,
            model_chosen=request.model and running.model,
        )
        return InFlightGeneration(running, call, start.stopwatch, traits, self._uses)

    def _deadline(self) -> float:
        return self._clock.monotonic() + self._settings.deadline_s

    def _generation(self, start: _Start, **known: Any) -> Generation:
        """The generation that begins; `known`: what is already known of its outcome."""
        outcome: dict[str, Any] = {
            "answer_id": start.request_id,
            "cached": False,
            "usage": Usage(),
            "cost_usd": None,
            "saved_usd": None,
            "latency_ms": None,
        }
        prepared, first = start.prepared, start.prepared.first
        return Generation(
            request_id=start.request_id,
            owner=prepared.caller.owner,
            template_id=prepared.template.template_id,
            template_revision=prepared.template.revision,
            model=first.model,
            provider=first.provider.name,
            snippet=snippet_of(prepared.request.input),
            created_ms=self._clock.now_ms(),
            input=prepared.request.input,
            parameters=prepared.request.parameters,
            messages=first.call.messages,
            structured=prepared.template.outputs is not None,
            cache_key=first.cache_key,
            options=prepared.request.options,
            **{**outcome, **known},
        )


def _fingerprint(prepared: PreparedRequest) -> str:
    """Distinguishes generations with equal messages but different values or owners."""
    # As text: as values, 1 and True and 1.0 are equal.
    asked = repr((prepared.caller.owner, prepared.request.input, sorted(prepared.request.parameters.items())))
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


def _ended() -> Cancelled:
    return Cancelled("The generation ended before it could take its call over.")


def _find_nothing(_key: str) -> None:
    """The caller asked for a new answer."""


def _for_others(error: Exception) -> Exception:
    """The error for requests that joined a call which a limit refused: the limit was not theirs."""
    if isinstance(error, LimitError | UnpricedModel):
        return Overloaded("The request that this one shared a call with was refused.", retry_after_s=1)
    return error


def _complete_at_once(call: SharedCall, answer: CachedAnswer) -> None:
    call.append(answer.output)
    reported_usd = answer.cost_usd if answer.price_version == REPORTED else None
    done = Done(Status.COMPLETED, answer.output, answer.usage, answer.model, cost_usd=reported_usd)
    call.complete(CallResult(done=done))
