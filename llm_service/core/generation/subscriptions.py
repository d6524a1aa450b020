"""Subscriptions to a generation: of this process, of another process, or one that is over.

All have the same interface: `next` returns pieces of text and finally the result, `result` only the result. The creator
of a subscription closes it.

Longer than other modules: who subscribes does not know which of them it has.
"""

import threading
from dataclasses import replace
from typing import Protocol

from ..clock import Alarm, Clock
from ..errors import Failure, NotFound, ServiceError, UpstreamTruncated, error_of_code
from ..limits.status import LimitStatuses
from .endings import Ending, Endings, Unannounced
from .in_flight import GenerationResult, InFlightGeneration
from .model import Delta, Generation, Status
from .orphans import Orphans
from .ports import GenerationStore
from .registry import InFlightRegistry

POLL_S = 1.0
LEAST_PAUSE_S = 0.001


class Subscription(Protocol):
    """`generation` is its state when the subscription began; `position` the code points that `next` has returned.

    `collapsed`, `replayed` and `limits` are as in `GenerationResult`.
    """

    @property
    def limits(self) -> LimitStatuses: ...

    @property
    def nothing_left(self) -> bool:
        """Whether the subscriber had the result, too, when it subscribed: the position was past the text's end."""
        ...

    @property
    def collapsed(self) -> bool: ...

    @property
    def replayed(self) -> bool: ...

    @property
    def generation(self) -> Generation: ...

    @property
    def position(self) -> int: ...

    def next(self, wait_s: float) -> Delta | GenerationResult | None:
        """New text, the result, or None on a timeout.

        Raises the `ServiceError` that the generation ended with.
        """
        ...

    def result(self, wait_s: float) -> GenerationResult | None:
        """The result; None on a timeout. Raises as `next` does."""
        ...

    def close(self) -> None: ...


class LocalSubscription:
    """To a generation of this process, from a position."""

    nothing_left = False

    def __init__(
        self,
        in_flight: InFlightGeneration,
        clock: Clock,
        after: int = 0,
        *,
        limits: LimitStatuses = (),
        replayed: bool = False,
    ) -> None:
        self.limits = limits
        self.replayed = replayed
        self._in_flight = in_flight
        self._call = in_flight.call
        self._clock = clock
        self._restarts = self._call.restarts
        self._waker = threading.Event()
        self._alarm: Alarm | None = None
        # What it has shown: if the text begins anew, it must begin with that.
        self._shown = [self._call.text_after(0)[:after]] if after else []
        self.position = len(self._shown[0]) if after else 0
        in_flight.subscribers.add(self._waker)

    @property
    def generation(self) -> Generation:
        return self._in_flight.generation

    @property
    def collapsed(self) -> bool:
        return self._in_flight.collapsed

    def next(self, wait_s: float) -> Delta | GenerationResult | None:
        alarm = self._alarm or self._watch()
        alarm.set(wait_s)
        while True:
            self._waker.wait()
            self._waker.clear()
            if (event := self._look()) is not None:
                return event
            # A wake-up does not mean new text for this subscription.
            if alarm.rang:
                return None

    def result(self, wait_s: float) -> GenerationResult | None:
        return self._end() if self._in_flight.wait_finished(wait_s) else None

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._call.unwatch(self._waker)
        self._in_flight.subscribers.remove(self._waker, self._clock.monotonic())

    def _watch(self) -> Alarm:
        self._alarm = self._clock.alarm(self._waker.set)
        self._call.mark_shown()
        self._call.watch(self._waker)
        self._waker.set()  # there may be text already
        return self._alarm

    def _look(self) -> Delta | GenerationResult | None:
        # The result first: no text is added after it.
        finished = self._in_flight.result is not None
        text = self._unread()
        if text:
            self.position += len(text)
            self._shown.append(text)
            if finished:
                self._waker.set()  # for the result, which is next
            return Delta(text)
        return self._end() if finished else None

    def _unread(self) -> str:
        if self._call.restarts != self._restarts and not self._goes_on():
            return ""
        text = self._in_flight.text_after(self.position)
        # It may have begun anew meanwhile. Then its waker is set again.
        return text if self._call.restarts == self._restarts else ""

    def _goes_on(self) -> bool:
        """After its text began anew: whether that has come as far as what was shown, and begins with it.

        Raises `UpstreamTruncated` if it is another text.
        """
        restarts, shown = self._call.restarts, "".join(self._shown)
        if shown:
            text = self._in_flight.text_after(0)
            if len(text) < len(shown) and self._in_flight.result is None:
                return False
            if not text.startswith(shown):
                if isinstance(self._in_flight.result, ServiceError):
                    return False  # that error says more
                raise UpstreamTruncated("The answer was cut off and restarted for other callers.")
        self._restarts = restarts
        return True

    def _end(self) -> GenerationResult:
        result = self._in_flight.result
        assert result is not None
        if isinstance(result, ServiceError):
            # A new error for each subscription, because raised errors collect tracebacks.
            raise Failure.of(result).error()
        return replace(result, replayed=True) if self.replayed else result


class ReplaySubscription:
    """To a generation that is over."""

    def __init__(self, result: GenerationResult, after: int = 0) -> None:
        self.limits = result.limits
        self._result = result
        text = result.generation.output
        self._text = text or ""
        self.position = min(after, len(self._text))
        # Without the text, as where no history is kept, a larger position may be of one who has not had the result.
        self.nothing_left = after == 1 if text is None else after > len(text)

    @property
    def generation(self) -> Generation:
        return self._result.generation

    @property
    def collapsed(self) -> bool:
        return self._result.collapsed

    @property
    def replayed(self) -> bool:
        return self._result.replayed

    def next(self, wait_s: float) -> Delta | GenerationResult | None:
        text = self._text[self.position :]
        if text:
            self.position = len(self._text)
            return Delta(text)
        return self.result(wait_s)

    def result(self, wait_s: float) -> GenerationResult | None:
        generation = self._result.generation
        if generation.status in (Status.COMPLETED, Status.INCOMPLETE):
            return self._result
        raise error_of_code(generation.error or generation.status.value, "")

    def close(self) -> None:
        """Nothing to close."""


class PolledSubscription:
    """To a generation of another process, through its row: the whole text comes at its end.

    If its process dies, it ends as `interrupted` at the next check.
    """

    limits: LimitStatuses = ()
    collapsed = False
    nothing_left = False

    def __init__(
        self,
        store: GenerationStore,
        clock: Clock,
        orphans: Orphans,
        generation: Generation,
        after: int = 0,
        *,
        replayed: bool = False,
        ending: Ending | None = None,
    ) -> None:
        """`ending` None = nobody tells when it ends."""
        self.replayed = replayed
        self._ending = ending or Unannounced(clock)
        self._store = store
        self._clock = clock
        self._orphans = orphans
        self._watched_s = 0.0
        self._after = after
        self._over: ReplaySubscription | None = None
        self.generation = generation

    @property
    def position(self) -> int:
        return self._over.position if self._over else self._after

    def next(self, wait_s: float) -> Delta | GenerationResult | None:
        return self._over.next(wait_s) if self.poll(wait_s) and self._over else None

    def result(self, wait_s: float) -> GenerationResult | None:
        return self._over.result(wait_s) if self.poll(wait_s) and self._over else None

    def close(self) -> None:
        self._ending.close()

    def poll(self, wait_s: float) -> bool:
        """Whether it ends within `wait_s`; checks about once a second, and when its process says so.

        Raises `NotFound` if the row was deleted.
        """
        until = self._clock.monotonic() + wait_s
        # Not by the sum of the pauses: a look may wait for a lock.
        while self._over is None and (left_s := until - self._clock.monotonic()) >= LEAST_PAUSE_S:
            self._watched_s += self._ending.pause(min(left_s, POLL_S))
            row = self._row()
            if not is_over(row) and self._orphans.end_if_orphan(row.request_id, self._watched_s):
                row = self._row()
            if is_over(row):
                self._over = ReplaySubscription(GenerationResult(row, {}, replayed=self.replayed), self._after)
        return self._over is not None

    def _row(self) -> Generation:
        row = self._store.get(self.generation.owner, self.generation.request_id)
        if row is None:
            raise NotFound("The generation was deleted.")
        return row


def is_over(row: Generation) -> bool:
    """A row marked as cancelled is over only when its process has stored the text."""
    asked = row.status is Status.CANCELLED and row.finished_ms is None
    return row.status is not Status.RUNNING and not asked


class Subscriptions:
    """Finds generations, wherever they run or ran. Holds no state."""

    def __init__(
        self,
        registry: InFlightRegistry,
        store: GenerationStore,
        orphans: Orphans,
        clock: Clock,
        endings: Endings | None = None,
    ) -> None:
        """`endings` None = other processes do not tell when a generation ends."""
        self._endings = endings
        self._registry = registry
        self._store = store
        self._orphans = orphans
        self._clock = clock

    def find(self, owner: str, request_id: str, after: int = 0, *, replayed: bool = False) -> Subscription | None:
        """To the owner's generation, from position `after`; None if there is none. Raises `StorageError`."""
        in_flight = self._registry.get(owner, request_id)
        if in_flight is not None:
            return LocalSubscription(in_flight, self._clock, after, replayed=replayed)
        row = self._store.get(owner, request_id)
        if row is not None and not is_over(row) and self._orphans.end_if_orphan(request_id):
            row = self._store.get(owner, request_id)
        if row is None:
            return None
        if is_over(row):
            return ReplaySubscription(GenerationResult(row, {}, replayed=replayed), after)
        return self.polled(row, after, replayed=replayed)

    def polled(self, row: Generation, after: int = 0, *, replayed: bool = False) -> PolledSubscription:
        """To a generation of another process."""
        ending = self._endings.of(row.request_id) if self._endings else None
        return PolledSubscription(self._store, self._clock, self._orphans, row, after, replayed=replayed, ending=ending)
