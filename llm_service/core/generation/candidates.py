"""A provider call that several models may answer: each is asked when the one before it failed.

The next model is asked if the fault is the provider's, or its operator's, and no text has come. It is not asked if the
caller can fix the fault: the next model would meet it, too. Each model that has another one behind it makes one attempt,
and has a share of the time that is left until its first text. Before a model is asked, the cache is.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from ..errors import DeadlineExceeded, InvalidOutput, OutputTooLarge, Overloaded, ServiceError, UpstreamError
from .bulkhead import HeldSlot
from .call_context import CallContext
from .model import AttemptStarted, Billed, CachedAnswer, Delta, ProviderEvent
from .preparation import PreparedCall

# They say that an answer was there, or that no time is left.
_FINAL = (DeadlineExceeded, InvalidOutput, OutputTooLarge)


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """A call to make. `deadline` is on the monotonic clock. `slot` is held for the candidate with the number `first`: the
    providers of those before it had none.

    `may_retry` is called before each further attempt. `find_cached` looks up the answer of a candidate by its cache key.
    """

    candidates: Sequence[PreparedCall]
    slot: HeldSlot
    deadline: float
    first: int = 0
    may_retry: Callable[[], bool] = lambda: True
    find_cached: Callable[[str], CachedAnswer | None] = lambda _key: None


@dataclass(frozen=True, slots=True)
class Switched:
    """A model failed with `error`, and `candidate` is next. `asked`: whether the failed one was asked at all."""

    error: ServiceError
    candidate: PreparedCall
    asked: bool


@dataclass(frozen=True, slots=True)
class FoundInCache:
    """The next model's answer is cached. It is the last event."""

    answer: CachedAnswer


CallEvent = ProviderEvent | Switched | FoundInCache


class CandidateWalk:
    """Asks the candidates of one call in turn. Used once."""

    def __init__(self, call: UpstreamCall, context: CallContext) -> None:
        self._call = call
        self._context = context
        self._asked = False
        self._has_text = False
        self._reported = False

    def events(self) -> Generator[CallEvent, None, None]:
        """The events of the model that answers, after those of the models that failed; each of them ends with `Switched`.

        Raises the error of the last model that was asked.
        """
        candidates = self._call.candidates
        for number, candidate in enumerate(candidates):
            # The first one's answer was looked up before there was a call.
            if number and (answer := self._call.find_cached(candidate.cache_key)) is not None:
                yield FoundInCache(answer)
                return
            try:
                yield from self._ask(number, candidate)
                return
            except ServiceError as error:
                if number + 1 == len(candidates) or not self._goes_on(error):
                    raise
                failed = error
            yield Switched(failed, candidates[number + 1], self._asked)

    def _ask(self, number: int, candidate: PreparedCall) -> Generator[ProviderEvent, None, None]:
        self._asked = self._reported = False
        if number < self._call.first:
            raise Overloaded("The model's provider had no slot for another call.")
        self._call.slot.take(candidate.provider.bulkhead)
        self._asked = True
        if number:
            yield AttemptStarted(1)
        left = len(self._call.candidates) - number
        context = self._context if left == 1 else self._context.before_fallback(left)
        with closing(candidate.provider.stream(candidate.call, context)) as events:
            for event in events:
                if isinstance(event, Delta) and not self._has_text:
                    self._has_text = True
                    context.extend(self._context.deadline)
                elif isinstance(event, Billed):
                    self._reported = True
                yield event

    def _goes_on(self, error: ServiceError) -> bool:
        """Whether another model may be asked after this error."""
        if self._has_text or self._context.stopped or self._context.is_late:
            return False
        if not isinstance(error, UpstreamError | Overloaded) or isinstance(error, _FINAL):
            return False
        # One attempt is reserved: if this one is not billed, the reservation is the next one's.
        may_be_billed = self._reported or (self._asked and error.may_be_billed)
        return self._call.may_retry() if may_be_billed else True
