"""The deadline of a provider call, and how to stop it."""

import threading
from collections.abc import Callable
from typing import Protocol

from ..clock import Alarm, Clock


class HasDeadline(Protocol):
    """Something that waits until a deadline on the monotonic clock."""

    def set_deadline(self, deadline: float) -> None: ...


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
        *,
        fallback_left: bool = False,
    ) -> None:
        self.fallback_left = fallback_left
        self.deadline = deadline
        self.may_restart = may_restart
        self.may_retry = may_retry
        self._clock = clock
        self._stopped = threading.Event()
        self._abort: Callable[[], None] | None = None
        self._waits: HasDeadline | None = None

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

    @property
    def is_late(self) -> bool:
        return self._clock.monotonic() >= self.deadline

    def before_fallback(self, share: int) -> "CallContext":
        """The context of a model that has fallbacks: until its first text, it has a `share`th of the time that is left.

        It is stopped with this one.
        """
        now = self._clock.monotonic()
        deadline = now + max(0.0, self.deadline - now) / share
        context = CallContext(deadline, self._clock, self.may_restart, self.may_retry, fallback_left=True)
        self.on_stop(context.stop)
        return context

    def waits_until_deadline(self, waits: HasDeadline) -> None:
        """From now on its deadline is this call's, also when that changes."""
        self._waits = waits
        waits.set_deadline(self.deadline)

    def extend(self, deadline: float) -> None:
        self.deadline = deadline
        if self._waits is not None:
            self._waits.set_deadline(deadline)

    def alarm(self, ring: Callable[[], object]) -> Alarm:
        """An alarm of this call's clock, as `Clock.alarm`."""
        return self._clock.alarm(ring)

    def on_stop(self, abort: Callable[[], None] | None) -> None:
        """Set what aborts the next wait (None = nothing). It is called at once if the call is already stopped."""
        self._abort = abort
        if abort is not None and self.stopped:
            abort()
