"""Waits for models that their servers are loading.

A server that loads a model answers 503 to each call until it is ready, which takes seconds to minutes. One call for each
model, the prober, asks again; the others wait for what it hears. So a server has one more call to refuse, however many
callers there are.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from llm_service.core.errors import Cancelled, UpstreamLoading
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import ProviderEvent

# Of the time that a call has left when it first hears that the model is being loaded.
SHARE_OF_DEADLINE = 0.25
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 8.0
# How often a call that waits looks whether the prober has heard anything.
LOOK_S = 0.5
# A server that is loading says so at once: a call that it has had for longer is being answered.
TAKEN_AFTER_S = 1.0
RETRY_AFTER_S = 10.0

Jitter = Callable[[float, float], float]


@dataclass(slots=True)
class _Loading:
    """`probed`: a call asks. `sent_at`: since when the server has had its attempt. `waiting`: the other calls."""

    probed: bool = True
    sent_at: float | None = None
    waiting: int = 0


class LoadingModels:
    """The models of one provider that are being loaded. Safe from threads and greenlets."""

    def __init__(self, timer: Callable[[], float], jitter: Jitter) -> None:
        self.timer = timer
        self.jitter = jitter
        self._lock = threading.Lock()
        # Read where a call would cost too much.
        self.models: dict[str, _Loading] = {}

    def begin(self, model: str) -> bool:
        """The server said that it is loading the model. True: the call that heard it is the prober."""
        with self._lock:
            if model not in self.models:
                self.models[model] = _Loading()
                return True
            return self._take(self.models[model])

    def may_go(self, model: str) -> tuple[bool, bool]:
        """For a call that waits: whether it may be sent, and whether it is then the prober."""
        with self._lock:
            loading = self.models.get(model)
            if loading is None or (loading.sent_at is not None and self.timer() - loading.sent_at > TAKEN_AFTER_S):
                return True, False
            takes = self._take(loading)
            return takes, takes

    def wait(self, model: str, number: int) -> None:
        """`number` more calls wait for the model."""
        with self._lock:
            if loading := self.models.get(model):
                loading.waiting += number
                if not loading.waiting and not loading.probed:
                    del self.models[model]

    def sent(self, model: str) -> None:
        """The prober's attempt is about to be sent."""
        with self._lock:
            if loading := self.models.get(model):
                loading.sent_at = self.timer()

    def refused(self, model: str) -> None:
        """The prober heard that the model is still being loaded."""
        with self._lock:
            if loading := self.models.get(model):
                loading.sent_at = None

    def over(self, model: str) -> None:
        """The prober heard something else: all may be sent."""
        with self._lock:
            self.models.pop(model, None)

    def leave(self, model: str) -> None:
        """The prober gives up. One of those that wait takes its place."""
        with self._lock:
            loading = self.models.get(model)
            if loading is not None and loading.waiting > 0:
                loading.probed, loading.sent_at = False, None
            else:
                self.models.pop(model, None)

    def _take(self, loading: _Loading) -> bool:
        takes, loading.probed = not loading.probed, True
        return takes


class Turn:
    """One call's wait for a model that is being loaded. Call `leave` at the end, in any case."""

    def __init__(self, models: LoadingModels, model: str, context: CallContext) -> None:
        self._models = models
        self._model = model
        self._context = context
        now = models.timer()
        self._ends_at = now + (context.deadline - now) * SHARE_OF_DEADLINE
        self._probes = False
        self._refusals = 0
        self._retry_after_s: float | None = None

    def refused(self, error: UpstreamLoading) -> None:
        """The call was sent, and the server said that it is loading the model."""
        self._refusals += 1
        self._retry_after_s = error.retry_after_s
        if self._probes:
            self._models.refused(self._model)
        else:
            self._probes = self._models.begin(self._model)

    def wait(self) -> None:
        """Wait until the call may be sent.

        Raises `UpstreamLoading` if that takes too long, or another model is there to be asked; `Cancelled` if the call is
        stopped.
        """
        if not self._probes:
            self._wait_for_prober()
        elif self._refusals:
            self._pause()
        if self._probes:
            self._models.sent(self._model)

    def watched(self, events: Generator[ProviderEvent, None, None]) -> Generator[ProviderEvent, None, None]:
        """The events of the call; with the first one, the model is there."""
        with closing(events):
            for event in events:
                self.over()
                yield event

    def over(self) -> None:
        """The server said something else than that it is loading."""
        if self._probes:
            self._probes = False
            self._models.over(self._model)

    def leave(self) -> None:
        if self._probes:
            self._probes = False
            self._models.leave(self._model)

    def _wait_for_prober(self) -> None:
        self._models.wait(self._model, 1)
        try:
            while True:
                goes, self._probes = self._models.may_go(self._model)
                if goes:
                    return
                left_s = self._ends_at - self._models.timer()
                if left_s <= 0 or self._context.fallback_left:
                    raise self._error()
                self._sleep(min(left_s, LOOK_S / 2 + self._models.jitter(0, LOOK_S / 2)))
        finally:
            self._models.wait(self._model, -1)

    def _pause(self) -> None:
        longest_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._refusals - 1, 10))
        pause_s = max(self._retry_after_s or 0, longest_s / 2) + self._models.jitter(0, longest_s / 2)
        if self._models.timer() + pause_s >= self._ends_at:
            raise self._error()
        self._sleep(pause_s)

    def _sleep(self, seconds: float) -> None:
        if self._context.sleep(seconds):
            raise Cancelled("The call was stopped.")

    def _error(self) -> UpstreamLoading:
        return UpstreamLoading(
            "The model provider is still loading the model.", retry_after_s=self._retry_after_s or RETRY_AFTER_S
        )
