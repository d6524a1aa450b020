"""Upstream calls in the background: makes them for the leading generation, and follows them for those that join.

A call runs in its own task, independent of subscribers. The generation that began it leads: its task calls the provider
and writes the shared call's text. Each generation that joins has a task that waits for the result. If the leader is lost,
because its process died, the task of one that joined makes the call again. Each task finishes its generation, which stores
the outcome before any caller gets it.
"""

from collections.abc import Callable, Generator
from contextlib import closing

from ..clock import Clock
from ..errors import Cancelled, DeadlineExceeded, Failure, ServiceError
from .call_context import CallContext
from .candidates import CallEvent, CandidateWalk, FoundInCache, Switched, UpstreamCall
from .in_flight import InFlightGeneration
from .model import AttemptStarted, CallResult, Delta, Done, Retrying
from .ports import Reporter, SharedCall, Spawn
from .registry import OVERDUE_S, STORING_S, InFlightRegistry

MakeCall = Callable[[], UpstreamCall]
"""Reserves what an upstream call needs, and returns it. Raises `ServiceError`; then nothing is reserved."""


class UpstreamCaller:
    """Built once per process."""

    def __init__(self, registry: InFlightRegistry, clock: Clock, spawn: Spawn, reporter: Reporter) -> None:
        self._registry = registry
        self._clock = clock
        self._spawn = spawn
        self._reporter = reporter

    def lead(self, generation: InFlightGeneration, call: UpstreamCall) -> None:
        """Make the call in the background."""
        shared = generation.call
        context = CallContext(call.deadline, self._clock, lambda: not shared.shown, call.may_retry)
        self._registry.add(generation)
        self._registry.add_call(shared, context)
        try:
            self._spawn(lambda: self._lead(generation, call, context))
        except Exception as error:
            self._end(generation, call, self._failed(error, generation, context, may_be_billed=False))
            self._registry.billed(shared)

    def follow(self, generation: InFlightGeneration, deadline: float, take_over: MakeCall) -> None:
        """Wait in the background for a call that another generation leads; if that is lost, perhaps make it."""
        self._registry.add(generation)
        try:
            self._spawn(lambda: self._follow(generation, deadline, take_over))
        except Exception as error:
            self._reporter.unexpected_error(error, generation.request_id)
            self._end_following(generation, CallResult(failure=Failure.of(error)))

    def _lead(self, generation: InFlightGeneration, call: UpstreamCall, context: CallContext) -> None:
        try:
            self._end(generation, call, self._make(generation, call, context))
            # If it was cancelled while its call continued for others, it still gets the whole bill. Nothing else knows it, so
            # it waits for as long as storing the cancellation takes.
            while not generation.wait_finished(STORING_S):
                continue
            generation.amend_billing()
        finally:
            self._registry.billed(generation.call)

    def _end(self, generation: InFlightGeneration, call: UpstreamCall, result: CallResult) -> None:
        call.slot.release()
        self._registry.remove_call(generation.call)
        try:
            outcome = generation.result_of(result)
            if not outcome.is_cacheable:
                # Who asks again after this outcome wants a new call. After an answer, the cache has it before the call closes.
                generation.call.close()
            if generation.finish(outcome) is None:
                generation.offer_to_cache(outcome)  # for those who share the call
        finally:
            generation.call.complete(result)
            generation.call.leave(generation.request_id)

    def _follow(self, generation: InFlightGeneration, deadline: float, make_call: MakeCall) -> None:
        shared, late_at = generation.call, deadline + 2 * OVERDUE_S
        while not generation.has_ended:
            result = shared.wait_completed(late_at - self._clock.monotonic())
            if result is None and self._clock.monotonic() >= late_at:
                result = CallResult(failure=Failure.of(_late()))
            if result is not None:
                self._end_following(generation, result)
                return
            # It was lost. Another one may have taken it over since.
            if not generation.has_ended and shared.take_over(generation.request_id):
                self._take_over(generation, deadline, make_call)
                return
        shared.leave(generation.request_id)

    def _take_over(self, generation: InFlightGeneration, deadline: float, make_call: MakeCall) -> None:
        """Make the call of a leader that was lost. If a limit refuses it, that is this generation's error only."""
        shared = generation.call
        reserved: list[UpstreamCall] = []
        context = CallContext(deadline, self._clock, lambda: not shared.shown, lambda: reserved[0].may_retry())
        self._registry.add_call(shared, context)
        try:
            reserved.append(make_call())
        except Exception as error:
            if not isinstance(error, ServiceError):
                self._reporter.unexpected_error(error, generation.request_id)
            self._registry.remove_call(shared)
            self._registry.billed(shared)
            shared.give_up()
            self._end_following(generation, CallResult(failure=Failure.of(error)))
        else:
            self._lead(generation, reserved[0], context)

    def _end_following(self, generation: InFlightGeneration, result: CallResult) -> None:
        try:
            generation.finish(generation.result_of(result))
        finally:
            generation.call.leave(generation.request_id)

    def _make(self, generation: InFlightGeneration, call: UpstreamCall, context: CallContext) -> CallResult:
        try:
            done = _relay(generation, call, context)
            return CallResult(done, answered_by=generation.answered_by, made_again=generation.made_again)
        except Exception as error:
            return self._failed(error, generation, context, may_be_billed=getattr(error, "may_be_billed", True))

    def _failed(
        self, error: Exception, generation: InFlightGeneration, context: CallContext, *, may_be_billed: bool
    ) -> CallResult:
        generation.billing.end(may_be_billed=may_be_billed)
        failure = self._failure(error, generation, context)
        return CallResult(failure=failure, answered_by=generation.answered_by, made_again=generation.made_again)

    def _failure(self, error: Exception, generation: InFlightGeneration, context: CallContext) -> Failure:
        """A stopped call fails like any other, but the reason is ours."""
        if context.stopped:
            overdue = self._clock.monotonic() > context.deadline
            return Failure.of(_late() if overdue else Cancelled("The call was stopped."))
        if not isinstance(error, ServiceError):
            self._reporter.unexpected_error(error, generation.request_id)
        return Failure.of(error)


def _relay(generation: InFlightGeneration, call: UpstreamCall, context: CallContext) -> Done:
    """Pass the provider's events on: text to the shared call, tokens to the bill."""
    shared, billing = generation.call, generation.billing
    with closing(_events(call, context)) as events:
        for event in events:
            if isinstance(event, Delta):
                billing.has_text = True
                shared.append(event.text)
            elif isinstance(event, Retrying):
                billing.end(may_be_billed=event.may_be_billed)
                _discard_text(shared)
            elif isinstance(event, AttemptStarted):
                billing.begin(event.attempt)
            elif isinstance(event, Switched):
                generation.ask_next(event.error, event.candidate, asked=event.asked)
                billing = generation.billing
            elif isinstance(event, FoundInCache):
                shared.append(event.answer.output)
                return generation.take_from_cache(event.answer)
            else:
                billing.report(event.usage, event.cost_usd)
                if isinstance(event, Done):
                    return event
    raise AssertionError("a provider ends with Done or an error")


def _events(call: UpstreamCall, context: CallContext) -> Generator[CallEvent, None, None]:
    if len(call.candidates) > 1:
        return CandidateWalk(call, context).events()
    (only,) = call.candidates
    return only.provider.stream(only.call, context)


def _discard_text(shared: SharedCall) -> None:
    if shared.text_after(0):
        shared.restart()


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("The answer took longer than a generation may take.")
