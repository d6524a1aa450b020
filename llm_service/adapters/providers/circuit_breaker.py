"""A circuit breaker: an upstream that fails almost always is not called for a while.

Our own, because it uses the share of failed attempts within a time window; maintained libraries count consecutive
failures (see docs/decisions).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from llm_service.core.errors import UpstreamUnavailable

from .rate_window import Window

WINDOW_S = 30
MIN_ATTEMPTS = 20
FAILED_SHARE = 0.8
OPEN_S = 30.0


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """It opens when at least `failed_share` of at least `min_attempts` attempts within `WINDOW_S` failed, for `open_s`."""

    min_attempts: int = MIN_ATTEMPTS
    failed_share: float = FAILED_SHARE
    open_s: float = OPEN_S


DEFAULT_RULES = BreakerRules()


class CircuitBreaker:
    """Call `admit` before each attempt, and afterwards `record`, or `forget` if the result says nothing.

    A closed breaker admits every attempt. `rules`: when it opens. After `open_s` it admits one attempt, which closes it or
    opens it again.
    """

    def __init__(self, timer: Callable[[], float], rules: BreakerRules = DEFAULT_RULES) -> None:
        self._timer = timer
        self._rules = rules
        self._lock = threading.Lock()
        self._attempts = Window(WINDOW_S, timer)
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        if self._open_until is None:
            return "closed"
        return "half-open" if self._timer() >= self._open_until else "open"

    def admit(self) -> bool:
        """Whether this attempt is the probe of a half-open breaker; pass that to `record` or `forget`.

        Raises `UpstreamUnavailable` while it is open.
        """
        with self._lock:
            if self._open_until is None:
                return False
            left_s = self._open_until - self._timer()
            if left_s <= 0 and not self._probing:
                self._probing = True
                return True
        raise UpstreamUnavailable(
            "The model provider failed too often and is not called for a moment.", retry_after_s=max(1.0, left_s)
        )

    def record(self, *, failed: bool, probe: bool) -> None:
        with self._lock:
            if probe:
                self._probing = False
                self._open_until = self._timer() + self._rules.open_s if failed else None
                self._attempts.clear()
            elif self._open_until is None:
                self._attempts.add("failed" if failed else "answered")
                if failed and self._fails_too_often():
                    self._open_until = self._timer() + self._rules.open_s

    def forget(self, *, probe: bool) -> None:
        """The attempt was stopped: it says nothing about the upstream."""
        if probe:
            with self._lock:
                self._probing = False

    def _fails_too_often(self) -> bool:
        failed = self._attempts.count("failed")
        attempts = failed + self._attempts.count("answered")
        return attempts >= self._rules.min_attempts and failed >= self._rules.failed_share * attempts
