"""Who listens to a generation: to one that runs here, to one that runs elsewhere, or to one that is over.

All are used alike: `next` gives pieces of text and at last the answer, `result` the answer alone. A listener is closed
by who made it, whatever happens.
"""

import threading
from typing import Protocol

from ..clock import Clock
from ..errors import Failure, NotFound, ServiceError, UpstreamTruncated, error_of_code
from ..history.ports import HistoryStore
from ..limits.status import LimitStatuses
from .in_flight import Finished, InFlightGeneration
from .model import Delta, Generation, Status

LOOK_S = 1.0


class Subscription(Protocol):
    """`generation` is what was known when it began; `position` the code points of the answer that `next` has given.

    `collapsed` and `replayed` are those of `Finished`; so is `standing`, which whoever begins a generation sets.
    """

    standing: LimitStatuses

    @property
    def collapsed(self) -> bool: ...

    @property
    def replayed(self) -> bool: ...

    @property
    def generation(self) -> Generation: ...

    @property
    def position(self) -> int: ...

    def next(self, wait_s: float) -> Delta | Finished | None:
        """The text that came, the end, or None when neither came in time.

        Raises the `ServiceError` that the generation ended with.
        """
        ...

    def result(self, wait_s: float) -> Finished | None:
        """The end; None when it did not come in time. Raises as `next` does."""
        ...

    def close(self) -> None: ...


class LocalSubscription:
    """Listens to a run of this process, from a position on."""

    replayed = False

    def __init__(self, run: InFlightGeneration, clock: Clock, after: int = 0) -> None:
        self.standing: LimitStatuses = ()
        self._run = run
        self._clock = clock
        self._restarts = run.flight.restarts
        self._waker = threading.Event()
        self._watches = False
        self.position = min(after, len(run.flight.text_after(0))) if after else 0
        run.listen(self._waker)

    @property
    def generation(self) -> Generation:
        return self._run.generation

    @property
    def collapsed(self) -> bool:
        return self._run.collapsed

    def next(self, wait_s: float) -> Delta | Finished | None:
        if not self._watches:
            self._watches = True
            self._run.flight.mark_shown()
            self._run.flight.watch(self._waker)
        until = self._clock.monotonic() + wait_s
        while (event := self._look()) is None:
            # Being woken does not mean that there is something new for this listener.
            left_s = until - self._clock.monotonic()
            if left_s <= 0 or not self._waker.wait(left_s):
                return None
            self._waker.clear()
        return event

    def result(self, wait_s: float) -> Finished | None:
        return self._end() if self._run.wait(wait_s) else None

    def close(self) -> None:
        self._run.flight.unwatch(self._waker)
        self._run.unlisten(self._waker, self._clock.monotonic())

    def _look(self) -> Delta | Finished | None:
        # The outcome first: no text is added after it.
        ended = self._run.outcome is not None
        text = self._unread()
        if text:
            self.position += len(text)
            return Delta(text)
        return self._end() if ended else None

    def _unread(self) -> str:
        flight = self._run.flight
        if flight.restarts != self._restarts:
            self._restarts = flight.restarts
            if self.position:
                raise UpstreamTruncated("The answer was cut off, and began anew for others.")
        text = flight.text_after(self.position)
        return text if self._run.cut is None else text[: max(0, self._run.cut - self.position)]

    def _end(self) -> Finished:
        outcome = self._run.outcome
        assert outcome is not None
        if isinstance(outcome, ServiceError):
            # A new one for each listener: a raised error collects tracebacks.
            raise Failure.of(outcome).error()
        return outcome


class ReplaySubscription:
    """Listens to what is over."""

    def __init__(self, finished: Finished, after: int = 0) -> None:
        self.standing: LimitStatuses = finished.standing
        self._finished = finished
        self._text = finished.generation.output or ""
        self.position = min(after, len(self._text))

    @property
    def generation(self) -> Generation:
        return self._finished.generation

    @property
    def collapsed(self) -> bool:
        return self._finished.collapsed

    @property
    def replayed(self) -> bool:
        return self._finished.replayed

    def next(self, wait_s: float) -> Delta | Finished | None:
        text = self._text[self.position :]
        if text:
            self.position = len(self._text)
            return Delta(text)
        return self.result(wait_s)

    def result(self, wait_s: float) -> Finished | None:
        generation = self._finished.generation
        if generation.status in (Status.COMPLETED, Status.INCOMPLETE):
            return self._finished
        raise error_of_code(generation.error or generation.status.value, "")

    def close(self) -> None:
        """Nothing to close."""


class PolledSubscription:
    """Listens to a generation of another process, by its row: its text comes at its end, whole."""

    collapsed = False
    replayed = False

    def __init__(self, history: HistoryStore, generation: Generation, after: int = 0) -> None:
        self.standing: LimitStatuses = ()
        self._history = history
        self._after = after
        self._over: ReplaySubscription | None = None
        self.generation = generation

    @property
    def position(self) -> int:
        return self._over.position if self._over else self._after

    def next(self, wait_s: float) -> Delta | Finished | None:
        return self._over.next(wait_s) if self.is_over(wait_s) and self._over else None

    def result(self, wait_s: float) -> Finished | None:
        return self._over.result(wait_s) if self.is_over(wait_s) and self._over else None

    def close(self) -> None:
        """Nothing to close."""

    def is_over(self, wait_s: float) -> bool:
        """Whether it is over by then; looks about once a second.

        Raises `NotFound` if the row was deleted.
        """
        while self._over is None and wait_s > 0:
            pause_s = min(wait_s, LOOK_S)
            threading.Event().wait(pause_s)
            wait_s -= pause_s
            row = self._history.get(self.generation.owner, self.generation.request_id)
            if row is None:
                raise NotFound("The generation was deleted.")
            if is_over(row):
                self._over = ReplaySubscription(Finished(row, {}), self._after)
        return self._over is not None


def is_over(row: Generation) -> bool:
    """A row that was marked as cancelled is over only when the process that runs it has stored what came."""
    asked = row.status is Status.CANCELLED and row.finished_ms is None
    return row.status is not Status.RUNNING and not asked
