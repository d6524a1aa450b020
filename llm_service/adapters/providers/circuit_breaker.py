"""Circuit breakers: what fails almost always is not called for a while.

Our own, because they use the share of failed attempts within a time window; maintained libraries count consecutive
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

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
_WORST_FIRST = (OPEN, HALF_OPEN, CLOSED)


def worst(states: list[str]) -> str:
    """`closed` if there are none."""
    return next((state for state in _WORST_FIRST if state in states), CLOSED)


def _none() -> int:
    return 0


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

    def __init__(
        self,
        timer: Callable[[], float],
        what: str = "The model provider",
        elsewhere: Callable[[], int] = _none,
        rules: BreakerRules = DEFAULT_RULES,
    ) -> None:
        """`what` fails. `elsewhere`: attempts within the window that are counted elsewhere, and did not fail so."""
        self._timer = timer
        self._what = what
        self._elsewhere = elsewhere
        self._rules = rules
        self._lock = threading.Lock()
        self._attempts = Window(WINDOW_S, timer)
        # None = closed. To be read where a call of `admit` would cost too much.
        self.open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        open_until = self.open_until
        if open_until is None:
            return CLOSED
        return HALF_OPEN if self._timer() >= open_until else OPEN

    @property
    def attempts(self) -> int:
        """Those of the window that were recorded."""
        with self._lock:
            return self._attempts.count("failed") + self._attempts.count("answered")

    def admit(self) -> bool:
        """Whether this attempt is the probe of a half-open breaker; pass that to `record` or `forget`.

        Raises `UpstreamUnavailable` while it is open.
        """
        with self._lock:
            if self.open_until is None:
                return False
            left_s = self.open_until - self._timer()
            if left_s <= 0 and not self._probing:
                self._probing = True
                return True
        raise UpstreamUnavailable(
            f"{self._what} failed too often and is not called for a moment.", retry_after_s=max(1.0, left_s)
        )

    def record(self, *, failed: bool, probe: bool) -> None:
        with self._lock:
            if probe:
                self._probing = False
                self.open_until = self._timer() + self._rules.open_s if failed else None
                self._attempts.clear()
            elif self.open_until is None:
                self._attempts.add("failed" if failed else "answered")
                if failed and self._fails_too_often():
                    self.open_until = self._timer() + self._rules.open_s

    def forget(self, *, probe: bool) -> None:
        """The attempt says nothing about what the breaker is for."""
        if probe:
            with self._lock:
                self._probing = False

    def _fails_too_often(self) -> bool:
        failed = self._attempts.count("failed")
        attempts = failed + self._attempts.count("answered") + self._elsewhere()
        return attempts >= self._rules.min_attempts and failed >= self._rules.failed_share * attempts
