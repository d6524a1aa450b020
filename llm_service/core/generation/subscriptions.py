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
from .ports import GenerationStore, RemoteText, RemoteTexts
from .registry import InFlightRegistry
from .shown_text import ShownText

POLL_S = 1.0
LEAST_PAUSE_S = 0.001
# When a generation of another process has ended: how long the rest of its text may be on its way.
REST_S = 1.0


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

    def interrupt(self) -> None:
        """From another task: end the wait of `next` soon. It may be ignored where `next` is about to wait."""
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
        self._shown = ShownText(in_flight, min(after, len(self._call.text_after(0))) if after else 0)
        self._waker = threading.Event()
        self._alarm: Alarm | None = None
        in_flight.subscribers.add(self._waker)

    @property
    def position(self) -> int:
        return self._shown.position

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

    def interrupt(self) -> None:
        if self._alarm is not None:
            self._alarm.set(0)

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
        result = self._in_flight.result
        finished = result is not None
        if text := self._shown.more(over=finished, failed=isinstance(result, ServiceError)):
            if finished:
                self._waker.set()  # for the result, which is next
            return Delta(text)
        return self._end() if finished else None

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

    def skip_text(self) -> None:
        """The subscriber has it from elsewhere."""
        self._text = self._text[: self.position]

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

    def interrupt(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """Nothing to close."""


class PolledSubscription:
    """To a generation of another process, through its row, which has the outcome. Its text is shown while it grows, if that
    process passes it on; else it comes whole at its end.

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
        texts: RemoteTexts | None = None,
    ) -> None:
        """`ending` None = nobody tells when it ends. `texts` None = no process passes texts on."""
        self.replayed = replayed
        self._ending = ending or Unannounced(clock)
        self._texts = texts
        self._store = store
        self._clock = clock
        self._orphans = orphans
        self._watched_s = 0.0
        self._looked_s = 0.0
        self._after = after
        self._over: ReplaySubscription | None = None
        self._text: RemoteText | None = None
        self._shown: ShownText | None = None
        self._bell = _Bell(self._ending)
        self._gives_up_at = 0.0
        self.generation = generation

    @property
    def position(self) -> int:
        if self._shown is not None:
            return self._shown.position
        return self._over.position if self._over else self._after

    def next(self, wait_s: float) -> Delta | GenerationResult | None:
        if self._text is None and self._over is None:
            self._follow()
        until = self._clock.monotonic() + wait_s
        while True:
            if text := self._grown():
                return Delta(text)
            if self._over is not None and not self._rest_may_come():
                return self._end().next(wait_s)
            left_s = until - self._clock.monotonic()
            if left_s < LEAST_PAUSE_S:
                return None
            self._wait(left_s)

    def result(self, wait_s: float) -> GenerationResult | None:
        return self._over.result(wait_s) if self.poll(wait_s) and self._over else None

    def interrupt(self) -> None:
        """Ignored."""

    def close(self) -> None:
        self._ending.close()
        if self._text is not None:
            self._text.close()

    def poll(self, wait_s: float) -> bool:
        """Whether it ends within `wait_s`; checks about once a second, and when its process says so.

        Raises `NotFound` if the row was deleted.
        """
        until = self._clock.monotonic() + wait_s
        # Not by the sum of the pauses: a look may wait for a lock.
        while self._over is None and (left_s := until - self._clock.monotonic()) >= LEAST_PAUSE_S:
            self._wait(left_s)
        return self._over is not None

    def _follow(self) -> None:
        if self._texts is not None:
            self._text = self._texts.follow(self.generation.request_id)
            self._shown = ShownText(self._text, self._after)
            self._text.watch(self._bell)

    def _grown(self) -> str:
        if self._shown is None or self._text is None:
            return ""
        return self._shown.more(over=self._text.ended)

    def _rest_may_come(self) -> bool:
        """Whether some of the text was shown, and its rest is on its way."""
        text = self._text
        if text is None or text.ended or not text.text_after(0):
            return False
        return self._clock.monotonic() < self._gives_up_at

    def _end(self) -> "ReplaySubscription":
        """After what was shown: the rest of the text, if there is one, and the result."""
        assert self._over is not None
        if self._shown is None:
            return self._over
        shown, self._shown = self._shown, None
        row, had = self._over.generation, shown.text
        if self._text is not None and self._text.ended and had:
            # Not from the row: that may have only a part of it, or keep no texts.
            self._over = ReplaySubscription(GenerationResult(row, {}, replayed=self.replayed), shown.position)
            self._over.skip_text()
        elif had and row.output is not None and not row.output.startswith(had):
            raise UpstreamTruncated("The answer was cut off and restarted for other callers.")
        else:
            self._over = ReplaySubscription(GenerationResult(row, {}, replayed=self.replayed), shown.position)
        return self._over

    def _wait(self, seconds: float) -> None:
        """Until there may be more text or an end, and look for the end, unless only text came."""
        self._watched_s += self._ending.pause(min(seconds, POLL_S))
        rang = self._bell.take()
        if self._over is not None or (
            rang and not self._ending.take_end() and self._watched_s - self._looked_s < POLL_S
        ):
            return
        self._looked_s = self._watched_s
        row = self._row()
        if not is_over(row) and self._orphans.end_if_orphan(row.request_id, self._watched_s):
            row = self._row()
        if is_over(row):
            self._over = ReplaySubscription(GenerationResult(row, {}, replayed=self.replayed), self._after)
            self._gives_up_at = self._clock.monotonic() + REST_S

    def _row(self) -> Generation:
        row = self._store.get(self.generation.owner, self.generation.request_id)
        if row is None:
            raise NotFound("The generation was deleted.")
        return row


class _Bell:
    """Rings when there is more text. Satisfies `Waker`."""

    def __init__(self, ending: Ending) -> None:
        self._rang = False
        self._ending = ending

    def set(self) -> None:
        self._rang = True
        self._ending.wake()

    def take(self) -> bool:
        """Whether it rang since it was asked last."""
        rang, self._rang = self._rang, False
        return rang


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
        texts: RemoteTexts | None = None,
    ) -> None:
        """`endings` None = other processes do not tell when a generation ends. `texts` None = nor do they pass on its text."""
        self._endings = endings
        self._texts = texts
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
        return PolledSubscription(
            self._store, self._clock, self._orphans, row, after, replayed=replayed, ending=ending, texts=self._texts
        )
