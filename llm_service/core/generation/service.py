"""The main job: template -> typed values -> prompts -> cache -> shared call or a call of its own -> history.

There is one path. `begin` gives a listener to a generation that goes on in the background; `run` is that listener,
waited for. A generation is stored as `running` before the provider is called and with its outcome before anyone gets
it, so that whatever was answered is in the history.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

from ..access.caller import Caller
from ..clock import Clock
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
from ..history.ports import HistoryStore
from ..limits.errors import LimitError
from ..limits.limiter import Limiter
from ..usage.pricing import NO_BILL
from ..usage.tokens import Usage
from .in_flight import Finished, InFlightGeneration, InFlightRegistry
from .model import (
    CachedAnswer,
    CacheMode,
    CallResult,
    Done,
    GenerateRequest,
    Generation,
    IdempotencyKey,
    Status,
    snippet_of,
)
from .ports import Cache, SharedCall, SingleFlight
from .preparation import GenerationSettings, PreparedRequest, RequestPreparer
from .stopwatch import Stopwatch
from .subscriptions import LocalSubscription, ReplaySubscription, Subscription, is_over
from .upstream import UpstreamCaller

# How often a plain call's caller is looked after while the answer is awaited.
LOOK_S = 2.0


class GenerationService:
    """Built once per process and used by every request; holds no state of its own."""

    def __init__(
        self,
        *,
        prepare: RequestPreparer,
        provider: str,
        cache: Cache,
        flights: SingleFlight,
        history: HistoryStore,
        calls: UpstreamCaller,
        runs: InFlightRegistry,
        clock: Clock,
        limits: GenerationSettings,
        limiter: Limiter,
    ) -> None:
        """`provider` is the name that the history shows."""
        self._prepare = prepare
        self._provider = provider
        self._cache = cache
        self._flights = flights
        self._history = history
        self._calls = calls
        self._runs = runs
        self._clock = clock
        self._limits = limits
        self._limiter = limiter

    def run(
        self,
        request: GenerateRequest,
        caller: Caller,
        request_id: str,
        *,
        kept: bool = False,
        key: IdempotencyKey | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Finished:
        """The whole answer at once. `gone` is asked now and then whether the caller has left; the rest is as in `begin`.

        Raises `ServiceError`.
        """
        with closing(self.begin(request, caller, request_id, kept=kept, key=key, shown=False)) as subscription:
            while (finished := subscription.result(LOOK_S)) is None:
                if gone():
                    raise Cancelled("The caller left before the answer came.")
            return replace(finished, standing=subscription.standing) if subscription.standing else finished

    def begin(
        self,
        request: GenerateRequest,
        caller: Caller,
        request_id: str,
        *,
        kept: bool = False,
        key: IdempotencyKey | None = None,
        shown: bool = True,
    ) -> Subscription:
        """Begin a generation and listen to it; the caller closes the listener. `request_id` becomes the generation's.

        `kept`: it goes on when nobody listens any more, and so it does with an idempotency key, whose caller said that
        it would ask again. `shown`: the text is shown as it comes, so that the call must not begin anew behind it.

        Raises `ServiceError`; then nothing was asked of the provider, and nothing is stored.
        """
        watch = Stopwatch(self._clock)
        prepared = self._prepare(request, caller)
        watch.lap("render")
        if self._runs.closing:
            raise ShuttingDown("The service is stopping and begins nothing new.", retry_after_s=5)
        if key is None:
            return self._begin(prepared, request_id, watch, kept, shown)
        if (replay := self._claim(caller.owner, key, request_id)) is not None:
            return replay
        try:
            return self._begin(prepared, request_id, watch, kept=True, shown=shown)
        except ServiceError:
            self._history.release_key(caller.owner, key, request_id)
            raise

    def _claim(self, owner: str, key: IdempotencyKey, request_id: str) -> Subscription | None:
        """None if the key is this request's now; else the answer that it stands for."""
        if not self._limits.can_repeat:
            message = "cannot be kept here: this service keeps no answers that it could repeat. Leave it out"
            raise InvalidInput.of([FieldError("Idempotency-Key", message)])
        holder = self._history.claim_key(owner, key, request_id, self._clock.now_ms())
        if holder is None:
            return None
        if holder.fingerprint != key.fingerprint:
            raise IdempotencyMismatch(
                "This Idempotency-Key was used with another body. Use a new key for a new request."
            )
        generation = self._history.get(owner, holder.request_id)
        if generation is None or not is_over(generation):
            raise IdempotencyConflict("A request with this Idempotency-Key is under way.", retry_after_s=1)
        return ReplaySubscription(Finished(generation, {}, replayed=True))

    def _begin(
        self, prepared: PreparedRequest, request_id: str, watch: Stopwatch, kept: bool, shown: bool
    ) -> Subscription:
        standing = self._limiter.admit(prepared.caller, request_id)
        subscription = self._listen(prepared, request_id, watch, kept, shown)
        subscription.standing = subscription.standing or standing
        return subscription

    def _listen(
        self, prepared: PreparedRequest, request_id: str, watch: Stopwatch, kept: bool, shown: bool
    ) -> Subscription:
        shareable = prepared.request.cache_mode is CacheMode.DEFAULT
        answer = self._cache.get(prepared.cache_key) if shareable else None
        watch.lap("cache")
        if answer is not None and (replay := self._replay(prepared, request_id, answer, watch)) is not None:
            return replay
        about = _about(prepared)
        flight = self._flights.join(prepared.cache_key if shareable else None, request_id, about)
        if shown:
            flight.mark_shown()
        if flight.flight_id != request_id:
            return self._join(prepared, request_id, flight, watch, kept)
        try:
            if shareable and (answer := self._cache.get(prepared.cache_key, counted=False)) is not None:
                # It landed between the look into the cache and boarding.
                replay = self._replay(prepared, request_id, answer, watch)
                if replay is not None:
                    # Whoever has boarded since gets the same.
                    _land_at_once(flight, answer)
                    return replay
            return self._lead(prepared, request_id, flight, watch, kept)
        except Exception as error:
            flight.complete(CallResult(failure=Failure.of(_for_others(error))))
            raise

    def _replay(
        self, prepared: PreparedRequest, request_id: str, answer: CachedAnswer, watch: Stopwatch
    ) -> Subscription | None:
        """Serve a stored answer. It costs nothing; its token counts are those of the answer, whose cost is saved.

        None: it was deleted, and this process's cache did not know.
        """
        # The same prompts can come from other values: then the history keeps what was typed this time. And texts have one
        # owner, whoever shares the cache: each deletes and searches their own.
        asked = (prepared.caller.owner, prepared.request.input, prepared.request.parameters)
        same = (answer.owner, answer.input, answer.parameters) == asked
        generation = self._generation(
            prepared,
            request_id,
            answer_id=answer.answer_id if same else request_id,
            status=Status.COMPLETED,
            cached=True,
            output=answer.output,
            usage=answer.usage,
            billed=NO_BILL.usage,
            cost_usd=NO_BILL.cost_usd,
            saved_usd=answer.cost_usd,
            price_version=answer.price_version,
            latency_ms=round(watch.total_ms()),
            finished_ms=self._clock.now_ms(),
        )
        if not self._history.record_hit(generation, answer.answer_id):
            self._cache.discard(prepared.cache_key)
            return None
        watch.lap("store")
        return ReplaySubscription(Finished(generation, watch.laps_ms))

    def _lead(
        self, prepared: PreparedRequest, request_id: str, flight: SharedCall, watch: Stopwatch, kept: bool
    ) -> Subscription:
        self._calls.slots.take()
        try:
            running = self._generation(prepared, request_id, status=Status.RUNNING, attempts=1)
            hold = self._limiter.hold(prepared, request_id)
            taken = self._history.start(running, hold)
            standing = self._limiter.granted(taken, hold.ask) if hold and taken else ()
        except BaseException:
            self._calls.slots.give_back()
            raise
        watch.lap("store")
        run = self._run(prepared, running, flight, watch, kept)
        subscription = LocalSubscription(run, self._clock)
        subscription.standing = standing
        self._calls.lead(
            run,
            prepared.call,
            self._deadline(),
            remember=prepared.request.cache_mode is not CacheMode.NO_STORE,
            may_retry=lambda: hold is None or self._limiter.extend(hold),
        )
        return subscription

    def _join(
        self, prepared: PreparedRequest, request_id: str, flight: SharedCall, watch: Stopwatch, kept: bool
    ) -> Subscription:
        """Share a call that is under way. It costs nothing; the one who began it pays."""
        answer_id = flight.flight_id if flight.about == _about(prepared) else request_id
        try:
            running = self._generation(prepared, request_id, status=Status.RUNNING, answer_id=answer_id)
            running = self._history.record_shared(running)
        except BaseException:
            flight.leave(request_id)
            raise
        self._cache.joined()
        watch.lap("store")
        run = self._run(prepared, running, flight, watch, kept)
        subscription = LocalSubscription(run, self._clock)
        self._calls.follow(run, self._deadline())
        return subscription

    def _run(
        self, prepared: PreparedRequest, running: Generation, flight: SharedCall, watch: Stopwatch, kept: bool
    ) -> InFlightGeneration:
        chosen = prepared.request.model is not None
        return InFlightGeneration(
            running, flight, watch, kept=kept, model_chosen=chosen, outputs=prepared.template.outputs
        )

    def _deadline(self) -> float:
        return self._clock.monotonic() + self._limits.deadline_s

    def _generation(self, prepared: PreparedRequest, request_id: str, **known: Any) -> Generation:
        """The generation of a prepared request; `known` is what is known of its outcome already."""
        outcome: dict[str, Any] = {
            "answer_id": request_id,
            "cached": False,
            "usage": Usage(),
            "cost_usd": None,
            "saved_usd": None,
            "latency_ms": None,
        }
        return Generation(
            request_id=request_id,
            owner=prepared.caller.owner,
            template_id=prepared.template.template_id,
            template_revision=prepared.template.revision,
            model=prepared.call.model,
            provider=self._provider,
            snippet=snippet_of(prepared.request.input),
            created_ms=self._clock.now_ms(),
            input=prepared.request.input,
            parameters=prepared.request.parameters,
            prompts=prepared.call.prompts,
            structured=prepared.template.outputs is not None,
            cache_key=prepared.cache_key,
            **{**outcome, **known},
        )


def _about(prepared: PreparedRequest) -> str:
    """Tells generations apart whose prompts are the same although other values were typed, or by someone else."""
    asked = [prepared.caller.owner, prepared.request.input, dict(prepared.request.parameters)]
    typed = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(typed.encode()).hexdigest()


def _for_others(error: Exception) -> Exception:
    """What those get who wanted to share a call that was not let through: the limit was not theirs."""
    if isinstance(error, LimitError | UnpricedModel):
        return Overloaded("The request whose call this one shared was not let through. Ask again.", retry_after_s=1)
    return error


def _land_at_once(flight: SharedCall, answer: CachedAnswer) -> None:
    flight.append(answer.output)
    flight.complete(CallResult(done=Done(Status.COMPLETED, answer.output, answer.usage, answer.model)))
