"""The only retry loop, around any provider.

It makes at most three attempts within the deadline (fewer if the error says so), with full jitter, or after the time
that the provider named. A budget keeps retries from multiplying the load of a provider that is down. Circuit breakers
in front avoid hopeless attempts, which spares the provider and the callers' time. A model that its server is loading is
waited for by other rules (`loading`). If another model is asked after this one, there is one attempt.
"""

import random
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

from llm_service.core.errors import (
    Cancelled,
    ServiceError,
    UpstreamError,
    UpstreamLoading,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from llm_service.core.generation.bulkhead import Bulkhead
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import AttemptStarted, Delta, Done, ProviderCall, ProviderEvent, Retrying
from llm_service.core.generation.ports import Provider

from .circuit_breaker import DEFAULT_RULES, BreakerRules
from .circuits import Attempt, Circuits
from .loading import Jitter, LoadingModels, Turn
from .rate_window import Window

BASE_S = 0.5
CAP_S = 8.0
# Added at random to a time that the provider named: not every caller retries at the same moment.
SPREAD_S = 0.5
BUDGET_WINDOW_S = 60
BUDGET_SHARE = 0.1
BUDGET_FREE = 10


class RetryBudget:
    """Allows ten retries plus a tenth of the requests within a minute."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._window = Window(BUDGET_WINDOW_S, timer)

    def count_request(self) -> None:
        with self._lock:
            self._window.add("request")

    def take(self) -> bool:
        with self._lock:
            allowed = BUDGET_FREE + BUDGET_SHARE * self._window.count("request")
            if self._window.count("retry") >= allowed:
                return False
            self._window.add("retry")
            return True

    @property
    def taken(self) -> int:
        """Retries within the last minute."""
        with self._lock:
            return self._window.count("retry")


class ResilientProvider:
    """Satisfies `ManagedProvider`: a provider with its own slots, retry budget and circuit breakers."""

    def __init__(
        self,
        provider: Provider,
        *,
        slots: int,
        breaker: BreakerRules = DEFAULT_RULES,
        timer: Callable[[], float] = time.monotonic,
        jitter: Jitter = random.uniform,
    ) -> None:
        """`slots`: concurrent calls of this process to the provider. `breaker`: when it is not called for a while."""
        self._provider = provider
        self._timer = timer
        self._jitter = jitter
        self._circuits = Circuits(timer, breaker)
        self._loading = LoadingModels(timer, jitter)
        self._being_loaded = self._loading.models
        self.bulkhead = Bulkhead(slots)
        self.budget = RetryBudget(timer)

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def identity(self) -> str:
        return self._provider.identity

    @property
    def warmed(self) -> bool:
        return self._provider.warmed

    @property
    def circuit(self) -> str:
        """The worst state of its circuit breakers: `closed`, `open` or `half-open`."""
        return self._circuits.state

    def circuits(self) -> Mapping[str, str]:
        """The state for each model that was called."""
        return self._circuits.states()

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        self.budget.count_request()
        sent = failures = 0
        turn: Turn | None = None
        try:
            while True:
                if turn is not None or call.model in self._being_loaded:
                    turn = turn or Turn(self._loading, call.model, context)
                    yield from _wait_for(turn, sent + 1)
                sent += 1
                try:
                    yield from self._attempt(call, context, turn)
                    return
                except _Failed as failed:
                    error, began = failed.error, failed.began
                if isinstance(error, UpstreamLoading):
                    if began or context.stopped or context.fallback_left:
                        raise error
                    turn = turn or Turn(self._loading, call.model, context)
                    turn.refused(error)
                    continue
                if turn is not None:
                    turn.over()
                    turn = None
                failures += 1
                pause_s = self._pause_s(error, failures, began, context)
                if pause_s is None:
                    raise error
                yield Retrying(may_be_billed=error.may_be_billed)
                if context.sleep(pause_s):
                    raise Cancelled("The call was stopped.")
                yield AttemptStarted(sent + 1)
        finally:
            if turn is not None:
                turn.leave()

    def warm(self) -> None:
        self._provider.warm()

    def health_error(self, names: Mapping[str, str] | None = None) -> str | None:
        """`names`: as in `Circuits.fault`."""
        return self._provider.health_error() or self._circuits.fault(names or {})

    def close(self) -> None:
        self._provider.close()

    def _attempt(
        self, call: ProviderCall, context: CallContext, turn: Turn | None
    ) -> Generator[ProviderEvent, None, None]:
        """One attempt. Raises `_Failed` with the error and whether text was received."""
        attempt, began, told = self._circuits.admit(call.model), False, False
        try:
            stream = self._provider.stream(call, context)
            with closing(stream if turn is None else turn.watched(stream)) as events:
                for event in events:
                    if isinstance(event, Done):
                        told = True
                        attempt.answered()
                    began |= isinstance(event, Delta)
                    yield event
        except ServiceError as error:
            if not context.stopped:
                told = True
                _record(attempt, error)
            raise _Failed(error, began) from error
        finally:
            if not told:
                attempt.stopped()

    def _pause_s(self, error: ServiceError, attempt: int, began: bool, context: CallContext) -> float | None:
        """Seconds until the next attempt; None = no further attempt. `attempt`: how many have failed."""
        if context.stopped or context.fallback_left or attempt >= error.max_attempts:
            return None
        # After text, only a lost connection may pass; an error that the provider tells then has been paid for.
        if began and not (isinstance(error, UpstreamTruncated) and context.may_restart()):
            return None
        if error.retry_after_s is not None:
            pause_s = error.retry_after_s + self._jitter(0, SPREAD_S)
        else:
            pause_s = self._jitter(0, min(CAP_S, BASE_S * 2 ** (attempt - 1)))
        if self._timer() + pause_s >= context.deadline:
            return None
        return pause_s if self.budget.take() and context.may_retry() else None


class _Failed(Exception):
    """An attempt's error. It is not the call's error while another attempt may follow."""

    def __init__(self, error: ServiceError, began: bool) -> None:
        self.error = error
        self.began = began


def _wait_for(turn: Turn, attempt: int) -> Generator[ProviderEvent, None, None]:
    """The wait for a model that is being loaded. Nothing is owed while it lasts, and it takes no retry from the budget."""
    yield Retrying(may_be_billed=False)
    turn.wait()
    yield AttemptStarted(attempt)


def _record(attempt: Attempt, error: ServiceError) -> None:
    """Timeouts, lost connections and 5xx count against the model; 4xx, limits and bad answers do not."""
    if isinstance(error, UpstreamLoading):
        attempt.postponed()
    elif isinstance(error, UpstreamUnreachable | UpstreamTimeout) and not error.may_be_billed:
        attempt.not_connected()  # the request was not sent
    elif type(error) is UpstreamError or isinstance(error, UpstreamUnreachable | UpstreamTimeout | UpstreamUnavailable):
        attempt.failed()
    else:
        attempt.answered()
