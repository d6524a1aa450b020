"""The deadline of a provider call, and how to stop it."""

import threading
from collections.abc import Callable

from ..clock import Alarm, Clock


class CallContext:
    """The deadline of a provider call, and how to stop it from outside. Safe from any thread or greenlet.

    `deadline` is on the monotonic clock. `may_restart`: whether a call that already produced text may be repeated,
    because nobody has seen the text. `may_retry` is called before each further attempt, which may be billed too.
    `fallback_left`: another model is asked if this one fails, so the provider makes one attempt.
    """

    def __init__(
        self,
        deadline: float,
        clock: Clock,
        may_restart: Callable[[], bool] = lambda: True,
        may_retry: Callable[[], bool] = lambda: True,
    ) -> None:
        self.fallback_left = False
        self.deadline = deadline
        self.may_restart = may_restart
        self.may_retry = may_retry
        self._clock = clock
        self._stopped = threading.Event()
        self._abort: Callable[[], None] | None = None

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the call: waits end at once, also a read that blocks in another thread."""
        self._stopped.set()
        if self._abort is not None:
            self._abort()

    def sleep(self, seconds: float) -> bool:
        """Wait; True if the call was stopped meanwhile."""
        return self._clock.wait(self._stopped, seconds)

    def alarm(self, ring: Callable[[], object]) -> Alarm:
        """An alarm of this call's clock, as `Clock.alarm`."""
        return self._clock.alarm(ring)

    def on_stop(self, abort: Callable[[], None] | None) -> None:
        """Set what aborts the next wait (None = nothing). It is called at once if the call is already stopped."""
        self._abort = abort
        if abort is not None and self.stopped:
            abort()
