"""The only retry loop, around any provider.

It makes at most three attempts within the deadline (fewer if the error says so), with full jitter, or after the time
that the provider named. A budget keeps retries from multiplying the load of a provider that is down. A circuit breaker
in front avoids hopeless attempts, which spares the provider and the callers' time.
"""

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing

from llm_service.core.errors import (
    Cancelled,
    ServiceError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from llm_service.core.generation.bulkhead import Bulkhead
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import AttemptStarted, Delta, Done, ProviderCall, ProviderEvent, Retrying
from llm_service.core.generation.ports import Provider

from .circuit_breaker import DEFAULT_RULES, BreakerRules, CircuitBreaker
from .rate_window import Window

BASE_S = 0.5
CAP_S = 8.0
# Added at random to a time that the provider named: not every caller retries at the same moment.
SPREAD_S = 0.5
BUDGET_WINDOW_S = 60
BUDGET_SHARE = 0.1
BUDGET_FREE = 10

Jitter = Callable[[float, float], float]


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
    """Satisfies `ManagedProvider`: a provider with its own slots, retry budget and circuit breaker."""

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
        self.bulkhead = Bulkhead(slots)
        self.breaker = CircuitBreaker(timer, breaker)
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

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        self.budget.count_request()
        attempt = 1
        while True:
            try:
                yield from self._attempt(call, context)
                return
            except _Failed as failed:
                error, began = failed.error, failed.began
            pause_s = self._pause_s(error, attempt, began, context)
            if pause_s is None:
                raise error
            yield Retrying(may_be_billed=error.may_be_billed)
            if context.sleep(pause_s):
                raise Cancelled("The call was stopped.")
            attempt += 1
            yield AttemptStarted(attempt)

    def warm(self) -> None:
        self._provider.warm()

    def health_error(self) -> str | None:
        state = self.breaker.state
        return self._provider.health_error() or (None if state == "closed" else f"It fails; the circuit is {state}.")

    def close(self) -> None:
        self._provider.close()

    def _attempt(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        """One attempt. Raises `_Failed` with the error and whether text was received."""
        probe, began, told = self.breaker.admit(), False, False
        try:
            with closing(self._provider.stream(call, context)) as events:
                for event in events:
                    if isinstance(event, Done):
                        told = True
                        self.breaker.record(failed=False, probe=probe)
                    began |= isinstance(event, Delta)
                    yield event
        except ServiceError as error:
            if not context.stopped:
                told = True
                self.breaker.record(failed=_counts(error), probe=probe)
            raise _Failed(error, began) from error
        finally:
            if not told:
                self.breaker.forget(probe=probe)

    def _pause_s(self, error: ServiceError, attempt: int, began: bool, context: CallContext) -> float | None:
        """Seconds until the next attempt; None = no further attempt."""
        if context.stopped or attempt >= error.max_attempts:
            return None
        if began and (isinstance(error, UpstreamTimeout) or not context.may_restart()):
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


def _counts(error: ServiceError) -> bool:
    """Refused connections, timeouts and 5xx count against the upstream's health; 4xx, limits and bad answers do not."""
    return type(error) is UpstreamError or isinstance(
        error, UpstreamUnreachable | UpstreamTimeout | UpstreamUnavailable
    )
